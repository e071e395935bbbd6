"""Gather the scores.csv of several scenes into one table, in long form: scene, protocol, variant, split, metric,
value.
"""

import argparse
from pathlib import Path

from _arguments import run_and_exit

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path, metavar="FILE", help="results/NAME/scores.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the CSV file to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what is printed to this file as well")
    arguments = parser.parse_args()

    def run() -> None:
        from nsff.files.io import atomic_path
        from nsff.metrics.table import collect_scores

        table = collect_scores(arguments.tables)
        with atomic_path(arguments.out) as temporary:
            table.to_csv(temporary, index=False)

    run_and_exit(run, arguments.log)
