"""Relative inverse depth of every frame."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.priors.depth import run_depth

    run_depth(scene, config.depth)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        sections=("depth",),
        reads="cameras.json, points.npz, images/, flow/, motion_masks/, given/",
        writes="depth/",
    )
