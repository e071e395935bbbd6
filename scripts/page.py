"""Write scene.html: the scene in one page, to fly through in a browser."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def run(scene, config, arguments):
    from nsff.viewer.stage import run_page

    with one_gpu(config):
        run_page(scene, config)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="page",
        reads="model/, images/, clusters/, masks/, cameras.json",
        writes="scene.html",
    )
