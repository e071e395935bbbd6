"""Draw points near surfaces from the trained scene, for clustering in space (decompose.source: points)."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def run(scene, config, arguments):
    from nsff.decompose.point_clusters import run_points

    with one_gpu(config):
        run_points(scene, config.decompose)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="points",
        reads="model/, cameras.json, maps/views.json",
        writes="surface_points/",
    )
