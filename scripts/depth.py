"""Relative inverse depth of every frame."""

from _arguments import main

from nsff.workflow.stage_resources import gpu_for


def run(scene, config, arguments):
    from nsff.priors.depth.stage import run_depth

    with gpu_for("depth", config):
        run_depth(scene, config.depth)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="depth",
        reads="cameras.json, points.npz, images/, flow/, motion_masks/, given/",
        writes="depth/",
    )
