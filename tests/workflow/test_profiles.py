"""What the profiles make of a command line: limits of the local machine do not hold on a cluster."""

import json
import os
import subprocess
import sys

import pytest
import yaml

READ = """
import json, sys
from snakemake.cli import parse_args
_, found = parse_args(sys.argv[1:])
print(json.dumps({
    "executor": found.executor, "jobs": found.jobs, "rerun": found.rerun_incomplete,
    "triggers": sorted(str(t) for t in found.rerun_triggers), "gpu": "gpu" in list(found.resources),
    "set": {rule: sorted(values) for rule, values in found.set_resources.items()},
}))
"""


@pytest.fixture
def parsed(repo, environment):
    def parse(*arguments):
        command = [sys.executable, "-c", READ, *arguments]
        found = subprocess.run(command, cwd=repo, env=os.environ | environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout.splitlines()[-1])

    return parse


def test_the_default_profile_is_taken_by_itself(parsed):
    found = parsed("--cores", "2")
    assert found["executor"] is None
    assert found["gpu"] and found["rerun"]
    assert "CODE" not in str(found["triggers"]).upper()


def test_on_slurm_the_limit_of_one_gpu_does_not_hold(parsed):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    found = parsed("--workflow-profile", "profiles/slurm")
    assert (found["executor"], found["gpu"], found["rerun"]) == ("slurm", False, True)
    assert found["jobs"] > 1
    # With --profile, the default profile would be laid over it, and its limit with it: documents must not say so.
    assert parsed("--profile", "profiles/slurm")["gpu"]


def test_profiles_name_rules_that_exist_and_leave_gpus_to_them(repo):
    """A GPU is asked for by the rules, which know train.device; a profile would ask for one with cpu too."""
    rules = "\n".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    for path in (repo / "profiles").glob("*/config.yaml"):
        for rule, values in yaml.safe_load(path.read_text()).get("set-resources", {}).items():
            assert f"\nrule {rule}:" in rules, (path, rule)
            assert "gpu" not in values
