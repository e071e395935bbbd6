"""Render a video along a path: view (moving camera), time (moving time), or spacetime (both)."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def path_option(parser):
    parser.add_argument(
        "--path",
        action="append",
        choices=["view", "time", "spacetime"],
        help="which path (default: render.paths); repeatable",
    )


def run(scene, config, arguments):
    from nsff.rendering.videos import run_render

    with one_gpu(config):
        for path in arguments.path or config.render.paths:
            run_render(scene, config.render, path)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="render",
        reads="model/, cameras.json",
        writes="renders/PATH.mp4, renders/PATH_maps/ (what render.maps names), renders/PATH/ (render.pictures)",
        extra=path_option,
    )
