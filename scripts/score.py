"""Score the scene by every protocol of its evaluation; the only stage that reads truth."""

from _arguments import main

from nsff.workflow.stage_resources import one_gpu


def run(scene, config, arguments):
    from nsff.metrics.score import run_score

    with one_gpu(config):
        run_score(scene, config)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="score",
        reads="the truth named by evaluation, model/, cameras.json, pixel_map.npz, masks/, masks_crf/, maps/",
        writes="scores.csv, score_pictures/",
    )
