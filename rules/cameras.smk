# Cameras by structure from motion or as given, and the one canonical size that everything later works in.


rule sfm:
    input:
        manifest="results/{scene}/manifest.json",
        frames="results/{scene}/frames",
        given="results/{scene}/given",
        masks="results/{scene}/coarse_masks",
        flow="results/{scene}/raw_flow",
    output:
        model=directory("results/{scene}/sfm"),
        summary="results/{scene}/summaries/sfm.json",
    log:
        "results/{scene}/logs/sfm.log",
    benchmark:
        "results/{scene}/benchmarks/sfm.tsv"
    conda:
        "../envs/sfm.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        script=script("sfm"),
        options=options("sfm"),
        settings=settings("sfm"),
        version=VERSIONS["sfm"],
    message:
        "{wildcards.scene}: cameras by structure from motion"
    shell:
        stage_command()


rule cameras:
    input:
        manifest="results/{scene}/manifest.json",
        frames="results/{scene}/frames",
        given="results/{scene}/given",
        model="results/{scene}/sfm",
        flow="results/{scene}/raw_flow",
    output:
        cameras="results/{scene}/cameras.json",
        poses_bounds="results/{scene}/poses_bounds.npy",
        points="results/{scene}/points.npz",
        pixel_map="results/{scene}/pixel_map.npz",
        images=directory("results/{scene}/images"),
        flow=directory("results/{scene}/flow"),
        summary="results/{scene}/summaries/cameras.json",
    log:
        "results/{scene}/logs/cameras.log",
    benchmark:
        "results/{scene}/benchmarks/cameras.tsv"
    conda:
        "../envs/sfm.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        script=script("cameras"),
        options=options("cameras"),
        settings=settings("cameras"),
        version=VERSIONS["cameras"],
    message:
        "{wildcards.scene}: undistorted frames, flow and cameras at the canonical size"
    shell:
        stage_command()
