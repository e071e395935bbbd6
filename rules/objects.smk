# From rendered features to object masks: clusters, clean-up, and a dense CRF.


# Only where the settings cluster samples in space (decompose.source: points).
rule points:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        model="results/{scene}/model",
        maps="results/{scene}/maps",
    output:
        points=directory("results/{scene}/surface_points"),
        summary="results/{scene}/summaries/points.json",
    log:
        "results/{scene}/logs/points.log",
    benchmark:
        "results/{scene}/benchmarks/points.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=of_scene("gpus"),
    params:
        script=script("points"),
        options=options("points"),
        settings=settings("points"),
        version=VERSIONS["points"],
    message:
        "{wildcards.scene}: drawing points near surfaces"
    shell:
        stage_command()


rule cluster:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        model="results/{scene}/model",
        maps="results/{scene}/maps",
        features=of_scene("clustered", "images", "features"),
        points=of_scene("clustered", "points", "surface_points"),
        images=of_scene("grouped", "images"),
        masks=of_scene("grouped", "motion_masks"),
        depth=of_scene("grouped", "depth"),
        flow="results/{scene}/flow",
    output:
        clusters=directory("results/{scene}/clusters"),
        summary="results/{scene}/summaries/cluster.json",
    log:
        "results/{scene}/logs/cluster.log",
    benchmark:
        "results/{scene}/benchmarks/cluster.tsv"
    priority: LONG_WAY
    conda:
        "../envs/objects.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        script=script("cluster"),
        options=options("cluster"),
        settings=settings("cluster"),
        version=VERSIONS["cluster"],
    message:
        "{wildcards.scene}: clustering rendered features into objects"
    shell:
        stage_command()


rule postprocess:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        clusters="results/{scene}/clusters",
        maps="results/{scene}/maps",
        flow="results/{scene}/flow",
    output:
        masks=directory("results/{scene}/masks"),
        summary="results/{scene}/summaries/postprocess.json",
    log:
        "results/{scene}/logs/postprocess.log",
    benchmark:
        "results/{scene}/benchmarks/postprocess.tsv"
    priority: LONG_WAY
    conda:
        "../envs/objects.yaml"
    threads: beside_others(2)
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        script=script("postprocess"),
        options=options("postprocess"),
        settings=settings("postprocess"),
        version=VERSIONS["postprocess"],
    message:
        "{wildcards.scene}: cleaning the object masks"
    shell:
        stage_command()


rule crf:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        clusters="results/{scene}/clusters",
        masks="results/{scene}/masks",
        maps="results/{scene}/maps",
        images="results/{scene}/images",
        flow="results/{scene}/flow",
    output:
        masks=report(
            directory("results/{scene}/masks_crf"),
            patterns=[r"{name,preview|colour/\d+}.png"],
            caption="../docs/captions/masks.rst",
            category="{scene}",
            labels={"what": "object masks", "path": "{name}"},
        ),
        summary="results/{scene}/summaries/crf.json",
    log:
        "results/{scene}/logs/crf.log",
    benchmark:
        "results/{scene}/benchmarks/crf.tsv"
    priority: LONG_WAY
    conda:
        "../envs/objects.yaml"
    threads: beside_others(2)
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        script=script("crf"),
        options=options("crf"),
        settings=settings("crf"),
        version=VERSIONS["crf"],
    message:
        "{wildcards.scene}: refining the object masks with a dense CRF"
    shell:
        stage_command()


# Objects alone, seen through what hides them, and point clouds: for those who ask for them (extract.enabled, or by name).
rule extract:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        model="results/{scene}/model",
        maps="results/{scene}/maps",
        clusters="results/{scene}/clusters",
        masks="results/{scene}/masks",
    output:
        extracted=directory("results/{scene}/extracted"),
        summary="results/{scene}/summaries/extract.json",
    log:
        "results/{scene}/logs/extract.log",
    benchmark:
        "results/{scene}/benchmarks/extract.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=of_scene("gpus"),
    params:
        script=script("extract"),
        options=options("extract"),
        settings=settings("extract"),
        version=VERSIONS["extract"],
    message:
        "{wildcards.scene}: taking objects out of the scene"
    shell:
        stage_command()
