"""Render colour, depth, blend, saliency and features for the canonical views."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def run(scene, config, arguments):
    from nsff.rendering.maps import run_maps

    with one_gpu(config):
        run_maps(scene, config.render)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="maps",
        reads="model/, cameras.json",
        writes="maps/",
    )
