"""Read a video, a folder of frames or a benchmark layout into the scene folder: upright RGB frames of one size, and
what the source brings.
"""

from _arguments import main


def run(scene, config, arguments):
    from nsff.datasets.ingest import run_ingest

    run_ingest(scene, config.input)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="ingest",
        reads="the source named by input.path",
        writes="manifest.json, frames/, given/",
    )
