"""Refine the object masks by a dense CRF on colour and rendered depth."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.decompose.crf import run_crf

    run_crf(scene, config.crf)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="crf",
        reads="clusters/clusters.json, masks/, maps/, images/, flow/",
        writes="masks_crf/",
    )
