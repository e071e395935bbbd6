"""Masks of what moves, from the distance of flow to epipolar lines, and from what Mask R-CNN finds."""

from _arguments import main

from nsff.workflow.stage_resources import gpu_for


def run(scene, config, arguments):
    from nsff.priors.motion.stage import run_motion

    with gpu_for("motion", config):
        run_motion(scene, config.motion)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="motion",
        reads="cameras.json, images/, flow/; with instances frames/, pixel_map.npz",
        writes="motion_masks/",
    )
