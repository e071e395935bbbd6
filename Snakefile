# From videos to scenes in 4D and their objects. What runs is said in config.yaml; where and how, in profiles/.
from snakemake.utils import min_version

min_version("9.20")

# A file given with --configfile takes the place of config.yaml; keys given with --config are laid over either.
if not workflow.overwrite_configfiles:

    include: "rules/readable.smk"

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/cameras.smk"
include: "rules/priors.smk"
include: "rules/training.smk"
include: "rules/rendering.smk"
include: "rules/objects.smk"
include: "rules/scores.smk"
include: "rules/reports.smk"
include: "rules/reproduce.smk"


report: "docs/captions/workflow.rst"


wildcard_constraints:
    scene=any_of(SCENES),
    path=any_of(PATHS),


localrules:
    all,


onstart:
    gc.enable()
    hand_over()


onsuccess:
    print_summary()


onerror:
    print_summary()


rule all:
    default_target: True
    input:
        pages=expand("results/{scene}/report.html", scene=SCENES),
        overview="results/index.html",
        scores="results/scores.csv",
        extracted=files_of_all(SCENES.values(), ScenePlan.extracted),
