# The source becomes frames of one size; flow and coarse masks of what moves need nothing else.


rule ingest:
    input:
        source=source,
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
        execution=execution("ingest"),
        version=VERSIONS["ingest"],
        contents=input_contents,
    message:
        "{wildcards.scene}: reading frames from {input.source}"
    shell:
        "python {params.script:q} --scene results/{wildcards.scene}"
        " --options {params.options:q} {params.execution:q} --threads {threads} --log {log:q}"


rule flow:
    input:
        manifest="results/{scene}/manifest.json",
        frames="results/{scene}/frames",
        given="results/{scene}/given",
        weights=weights("flow"),
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
        gpu=gpus_for("flow"),
        runtime=240,
    params:
        script=script("flow"),
        options=options("flow"),
        execution=execution("flow"),
        version=VERSIONS["flow"],
    message:
        "{wildcards.scene}: optical flow between neighbouring frames"
    shell:
        "python {params.script:q} --scene results/{wildcards.scene}"
        " --options {params.options:q} {params.execution:q} --weights {input.weights:q} --threads {threads} --log {log:q}"


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
        version=VERSIONS["coarse_masks"],
    message:
        "{wildcards.scene}: coarse masks of what moves, before poses are known"
    shell:
        "python {params.script:q} --scene results/{wildcards.scene}"
        " --options {params.options:q} --threads {threads} --log {log:q}"
