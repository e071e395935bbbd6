"""Clean the clusters into integer object masks."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.decompose.postprocess import run_postprocess

    run_postprocess(scene, config.decompose)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="postprocess",
        reads="clusters/, maps/, flow/",
        writes="masks/",
    )
