"""Train the scene model, or continue where an earlier run stopped, or import a released checkpoint."""

from contextlib import nullcontext
from pathlib import Path

from _arguments import main

from nsff.workflow.stage_resources import exclusive_access, one_gpu


def state_option(parser):
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="checkpoints and logs (default: SCENE/state); kept for resuming"
    )


def run(scene, config, arguments):
    from nsff.machine.launch import launched
    from nsff.training.run import run_train

    # Of processes that train together the first stands for all.
    alone = exclusive_access(arguments.state or scene.state_dir) if launched().leader else nullcontext()
    with alone, one_gpu(config):
        run_train(scene, config, arguments.state)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="train",
        reads="cameras.json, images/, flow/, depth/, motion_masks/, features/ (with checkpoint: cameras.json, images/)",
        writes="model/, and the training state in --state",
        extra=state_option,
    )
