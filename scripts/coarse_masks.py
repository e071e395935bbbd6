"""Coarse masks of what moves, from flow alone, for structure from motion to leave out."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.priors.motion.stage import run_coarse_masks

    run_coarse_masks(scene, config.motion)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="coarse_masks",
        reads="frames/, raw_flow/",
        writes="coarse_masks/",
    )
