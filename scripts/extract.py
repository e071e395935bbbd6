"""Take every object out of the scene in 3-D: pictures with alpha of each alone, and point clouds."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def run(scene, config, arguments):
    from nsff.decompose.extract import run_extract

    with one_gpu(config):
        run_extract(scene, config.extract)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="extract",
        reads="model/, clusters/, maps/views.json, cameras.json",
        writes="extracted/",
    )
