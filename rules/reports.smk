# Pages: the scene to fly through, what every stage made, and one page over all scenes.


rule page:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        images="results/{scene}/images",
        model="results/{scene}/model",
        objects=of_scene("object_masks"),
    output:
        page=report(
            "results/{scene}/scene.html",
            caption="../docs/captions/scene.rst",
            category="{scene}",
            labels={"what": "scene to fly through", "path": ""},
        ),
        summary="results/{scene}/summaries/page.json",
    log:
        "results/{scene}/logs/page.log",
    benchmark:
        "results/{scene}/benchmarks/page.tsv"
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=of_scene("gpus"),
    params:
        script=script("page"),
        options=options("page"),
        settings=settings("page"),
        version=VERSIONS["page"],
    message:
        "{wildcards.scene}: the scene to fly through"
    shell:
        stage_command()


rule report:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        frames="results/{scene}/frames",
        coarse_masks="results/{scene}/coarse_masks",
        images="results/{scene}/images",
        flow="results/{scene}/flow",
        motion_masks="results/{scene}/motion_masks",
        depth="results/{scene}/depth",
        features=of_scene("training_features"),
        model="results/{scene}/model",
        maps="results/{scene}/maps",
        objects=of_scene("object_masks"),
        videos=of_scene("videos"),
        page=of_scene("scene_pages"),
        scores="results/{scene}/scores.csv",
        pictures="results/{scene}/score_pictures",
        summaries=of_scene("summaries"),
    output:
        page=report(
            "results/{scene}/report.html",
            caption="../docs/captions/page.rst",
            category="{scene}",
            labels={"what": "page", "path": ""},
        ),
    log:
        "results/{scene}/logs/report.log",
    benchmark:
        "results/{scene}/benchmarks/report.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        script=script("report"),
        options=options("report"),
        settings=settings("report"),
        version=VERSIONS["report"],
    message:
        "{wildcards.scene}: the page"
    shell:
        stage_command()


rule overview:
    input:
        pages=expand("results/{scene}/report.html", scene=SCENES),
        scores=expand("results/{scene}/scores.csv", scene=SCENES),
    output:
        page=report(
            "results/index.html",
            caption="../docs/captions/overview.rst",
            category="all scenes",
            labels={"what": "page", "path": ""},
        ),
    log:
        "results/logs/overview.log",
    benchmark:
        "results/benchmarks/overview.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        script=script("overview"),
        version=VERSIONS["overview"],
        scenes=[f"results/{scene}" for scene in SCENES],
    message:
        "the page over all scenes"
    shell:
        "python {params.script:q} {params.scenes:q} --out {output.page:q} --log {log:q}"
