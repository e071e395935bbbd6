# The source becomes frames of one size; flow and coarse masks of what moves need nothing else.


rule ingest:
    input:
        source=outside_files("sources"),
    output:
        manifest="results/{scene}/manifest.json",
        frames=directory("results/{scene}/frames"),
        given=directory("results/{scene}/given"),
        summary="results/{scene}/summaries/ingest.json",
    log:
        "results/{scene}/logs/ingest.log",
    benchmark:
        "results/{scene}/benchmarks/ingest.tsv"
    conda:
        "../envs/video.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        script=script("ingest"),
        options=options("ingest"),
        settings=settings("ingest"),
        version=VERSIONS["ingest"],
        contents=of_scene("source_digest"),
    message:
        "{wildcards.scene}: reading frames from {input.source}"
    shell:
        stage_command()


rule flow:
    input:
        manifest="results/{scene}/manifest.json",
        frames="results/{scene}/frames",
        given="results/{scene}/given",
        weights=of_scene("weights", "flow"),
    output:
        flow=directory("results/{scene}/raw_flow"),
        summary="results/{scene}/summaries/flow.json",
    log:
        "results/{scene}/logs/flow.log",
    benchmark:
        "results/{scene}/benchmarks/flow.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        gpu=of_scene("gpus_for", "flow"),
        runtime=240,
    params:
        script=script("flow"),
        options=options("flow"),
        settings=settings("flow"),
        version=VERSIONS["flow"],
    message:
        "{wildcards.scene}: optical flow between neighbouring frames"
    shell:
        stage_command("--weights {input.weights:q}")


rule coarse_masks:
    input:
        manifest="results/{scene}/manifest.json",
        frames="results/{scene}/frames",
        flow="results/{scene}/raw_flow",
    output:
        masks=directory("results/{scene}/coarse_masks"),
        summary="results/{scene}/summaries/coarse_masks.json",
    log:
        "results/{scene}/logs/coarse_masks.log",
    benchmark:
        "results/{scene}/benchmarks/coarse_masks.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        script=script("coarse_masks"),
        options=options("coarse_masks"),
        settings=settings("coarse_masks"),
        version=VERSIONS["coarse_masks"],
    message:
        "{wildcards.scene}: coarse masks of what moves, before poses are known"
    shell:
        stage_command()
