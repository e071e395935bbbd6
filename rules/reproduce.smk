# All scenes of a protocol that lie in a folder (section reproduce): one table beside the published numbers.


rule reproduce:
    input:
        scores=lambda wildcards: of_reproduced("scores.csv"),
        pages=lambda wildcards: of_reproduced("report.html"),
    output:
        scores="results/reproduce.csv",
        table=report(
            "results/reproduce.md",
            caption="../docs/captions/reproduce.rst",
            category="all scenes",
            labels={"what": "beside the published numbers", "path": ""},
        ),
    log:
        "results/logs/reproduce.log",
    benchmark:
        "results/benchmarks/reproduce.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        script=script("reproduce"),
        protocol=lambda wildcards: config["reproduce"]["protocol"],
        version=VERSIONS["reproduce"],
    message:
        "scores beside the published numbers"
    shell:
        "python {params.script:q} {input.scores:q} --protocol {params.protocol:q} --out {output.scores:q}"
        " --table {output.table:q} --log {log:q}"
