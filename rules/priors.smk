# What training is told about the canonical frames: what moves, how far things are, what they are.


rule motion:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        frames="results/{scene}/frames",
        pixel_map="results/{scene}/pixel_map.npz",
        images="results/{scene}/images",
        flow="results/{scene}/flow",
        given="results/{scene}/given",
        weights=of_scene("weights", "motion"),
    output:
        masks=directory("results/{scene}/motion_masks"),
        summary="results/{scene}/summaries/motion.json",
    log:
        "results/{scene}/logs/motion.log",
    benchmark:
        "results/{scene}/benchmarks/motion.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        gpu=of_scene("gpus_for", "motion"),
        runtime=60,
    params:
        script=script("motion"),
        options=options("motion"),
        settings=settings("motion"),
        version=VERSIONS["motion"],
    message:
        "{wildcards.scene}: masks of what moves"
    shell:
        stage_command("--weights {input.weights:q}")


rule depth:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        points="results/{scene}/points.npz",
        pixel_map="results/{scene}/pixel_map.npz",
        images="results/{scene}/images",
        flow="results/{scene}/flow",
        masks="results/{scene}/motion_masks",
        given="results/{scene}/given",
        weights=of_scene("weights", "depth"),
    output:
        depth=directory("results/{scene}/depth"),
        summary="results/{scene}/summaries/depth.json",
    log:
        "results/{scene}/logs/depth.log",
    benchmark:
        "results/{scene}/benchmarks/depth.tsv"
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=6000,
        gpu=of_scene("gpus_for", "depth"),
        runtime=120,
    params:
        script=script("depth"),
        options=options("depth"),
        settings=settings("depth"),
        version=VERSIONS["depth"],
    message:
        "{wildcards.scene}: depth"
    shell:
        stage_command("--weights {input.weights:q}")


rule features:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        images="results/{scene}/images",
        flow="results/{scene}/flow",
        masks="results/{scene}/motion_masks",
        weights=of_scene("weights", "features"),
    output:
        features=directory("results/{scene}/features"),
        summary="results/{scene}/summaries/features.json",
    log:
        "results/{scene}/logs/features.log",
    benchmark:
        "results/{scene}/benchmarks/features.tsv"
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        gpu=of_scene("gpus_for", "features"),
        runtime=120,
    params:
        script=script("features"),
        options=options("features"),
        settings=settings("features"),
        version=VERSIONS["features"],
    message:
        "{wildcards.scene}: features and saliency"
    shell:
        stage_command("--weights {input.weights:q}")
