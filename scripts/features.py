"""Semantic features and saliency of every frame."""

from _arguments import main

from nsff.workflow.stage_resources import gpu_for


def run(scene, config, arguments):
    from nsff.priors.features.stage import run_features

    with gpu_for("features", config):
        run_features(scene, config.features)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="features",
        reads="images/, flow/, motion_masks/",
        writes="features/",
    )
