# The scene model. Its state, {scene}/state, is no output: a job that fails or is killed finds it again and goes on.


rule train:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        images="results/{scene}/images",
        checkpoint=released,
        flow=unless_released("flow"),
        masks=unless_released("motion_masks"),
        depth=unless_released("depth"),
        depth_summary=unless_released("summaries/depth.json"),
        features=training_features,
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
        runtime=training_minutes,
        gpu=training_gpus,
    params:
        python=training_python,
        script=script("train"),
        options=options("train"),
        execution=execution("train"),
        version=VERSIONS["train"],
        state="results/{scene}/state",
    message:
        "{wildcards.scene}: training the static and the dynamic field"
    shell:
        "{params.python} {params.script:q} --scene results/{wildcards.scene} --state {params.state:q}"
        " --options {params.options:q} {params.execution:q} --threads {threads} --log {log:q}"
