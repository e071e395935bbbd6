"""Structure from motion on the ingested frames without what moves, or the given cameras."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.priors.sfm.stage import run_sfm

    run_sfm(scene, config.sfm)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="sfm",
        reads="frames/, raw_flow/, coarse_masks/, given/",
        writes="sfm/",
        isolated=True,
    )
