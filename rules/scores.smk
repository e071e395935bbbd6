# Scores. The rule score is the only one that reads truth.


rule score:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        pixel_map="results/{scene}/pixel_map.npz",
        images="results/{scene}/images",
        motion_masks="results/{scene}/motion_masks",
        model="results/{scene}/model",
        maps="results/{scene}/maps",
        flow=of_scene("for_refit", "flow"),
        depth=of_scene("for_refit", "depth"),
        objects=of_scene("object_masks"),
        truth=outside_files("truths"),
        weights=of_scene("lpips_weights"),
    output:
        scores=report(
            "results/{scene}/scores.csv",
            caption="../docs/captions/scores.rst",
            category="{scene}",
            labels={"what": "scores", "path": ""},
        ),
        pictures=directory("results/{scene}/score_pictures"),
        summary="results/{scene}/summaries/score.json",
    log:
        "results/{scene}/logs/score.log",
    benchmark:
        "results/{scene}/benchmarks/score.tsv"
    priority: LONG_WAY
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=of_scene("gpus"),
    params:
        script=script("score"),
        options=options("score"),
        settings=settings("score"),
        version=VERSIONS["score"],
        contents=of_scene("truth_digest"),
    message:
        "{wildcards.scene}: scoring"
    shell:
        stage_command("--weights {input.weights:q}")


rule collect_scores:
    input:
        scores=expand("results/{scene}/scores.csv", scene=SCENES),
    output:
        scores=report(
            "results/scores.csv",
            caption="../docs/captions/all_scores.rst",
            category="all scenes",
            labels={"what": "scores", "path": ""},
        ),
    log:
        "results/logs/collect_scores.log",
    benchmark:
        "results/benchmarks/collect_scores.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        script=script("collect_scores"),
        version=VERSIONS["collect_scores"],
    message:
        "scores of all scenes in one table"
    shell:
        "python {params.script:q} {input.scores:q} --out {output.scores:q} --log {log:q}"
