# Videos of the trained scene, and the maps of each view that the decomposition works on.


rule render:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        model="results/{scene}/model",
        objects=of_scene("left_out_by"),
        path=of_path("path_files"),
    output:
        video=report(
            "results/{scene}/renders/{path}.mp4",
            caption="../docs/captions/video.rst",
            category="{scene}",
            labels={"what": "video", "path": "{path}"},
        ),
        maps=directory("results/{scene}/renders/{path}_maps"),
        pictures=directory("results/{scene}/renders/{path}"),
        summary="results/{scene}/summaries/render_{path}.json",
    log:
        "results/{scene}/logs/render_{path}.log",
    benchmark:
        "results/{scene}/benchmarks/render_{path}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=of_scene("gpus"),
    params:
        script=script("render"),
        options=options("render"),
        settings=settings("render"),
        version=VERSIONS["render"],
    message:
        "{wildcards.scene}: video along the {wildcards.path} path"
    shell:
        stage_command("--path {wildcards.path}")


rule maps:
    input:
        manifest="results/{scene}/manifest.json",
        cameras="results/{scene}/cameras.json",
        model="results/{scene}/model",
    output:
        maps=directory("results/{scene}/maps"),
        summary="results/{scene}/summaries/maps.json",
    log:
        "results/{scene}/logs/maps.log",
    benchmark:
        "results/{scene}/benchmarks/maps.tsv"
    priority: LONG_WAY
    conda:
        "../envs/torch.yaml"
    threads: beside_others(4)
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=of_scene("gpus"),
    params:
        script=script("maps"),
        options=options("maps"),
        settings=settings("maps"),
        version=VERSIONS["maps"],
    message:
        "{wildcards.scene}: maps of every view"
    shell:
        stage_command()
