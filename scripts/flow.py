"""Optical flow between neighbouring frames, both ways, with consistency masks."""

from _arguments import main

from nsff.workflow.stage_resources import gpu_for


def run(scene, config, arguments):
    from nsff.priors.flow.stage import run_flow

    with gpu_for("flow", config):
        run_flow(scene, config.flow, config.canonical.resize_height)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="flow",
        reads="manifest.json, frames/, given/",
        writes="raw_flow/",
    )
