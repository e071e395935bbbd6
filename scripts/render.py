"""Render a video along a path: view (moving camera), time (moving time), spacetime (both), keyframes (a file's)."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def path_option(parser):
    paths = ["view", "time", "spacetime", "keyframes"]
    parser.add_argument("--path", action="append", choices=paths, help="which path (default: render.paths); repeatable")


def run(scene, config, arguments):
    from nsff.decompose.removal import left_out_of
    from nsff.rendering.videos import run_render
    from nsff.workflow.costs import speed_of
    from nsff.workflow.video_size import sized

    with one_gpu(config):
        import torch

        left_out = left_out_of(scene, config.render.without)
        device = "gpu" if torch.cuda.is_available() else "cpu"
        render = sized(scene, config.render, speed_of(config.preset, device).megapixel)
        for path in arguments.path or config.render.paths:
            run_render(scene, render, path, left_out)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="render",
        reads="model/, cameras.json; with render.without clusters/, masks/",
        writes="renders/PATH.mp4, renders/PATH_maps/ (what render.maps names), renders/PATH/ (render.pictures)",
        extra=path_option,
    )
