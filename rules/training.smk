# The scene model. Its state, {scene}/state, is no output: a job that fails or is killed finds it again and goes on.


rule train:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        images="results/{scene}/images",
        checkpoint=of_scene("released"),
        flow=of_scene("for_training", "flow"),
        masks=of_scene("for_training", "motion_masks"),
        depth=of_scene("for_training", "depth"),
        depth_summary=of_scene("for_training", "summaries/depth.json"),
        features=of_scene("training_features"),
    output:
        model=directory("results/{scene}/model"),
        summary="results/{scene}/summaries/train.json",
    log:
        "results/{scene}/logs/train.log",
    benchmark:
        "results/{scene}/benchmarks/train.tsv"
    retries: 2
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=of_scene("training_minutes"),
        gpu=of_scene("training_gpus"),
    params:
        python=of_scene("training_command"),
        script=script("train"),
        options=options("train"),
        settings=settings("train"),
        version=VERSIONS["train"],
        state="results/{scene}/state",
    message:
        "{wildcards.scene}: training the scene model"
    shell:
        stage_command("--state {params.state:q}", start="{params.python}")
