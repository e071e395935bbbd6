"""Put the scores of all scenes of a protocol beside the published numbers, as CSV and as a readable table."""

import argparse
from pathlib import Path

from _arguments import run_and_exit

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path, metavar="FILE", help="results/NAME/scores.csv")
    parser.add_argument("--protocol", required=True, metavar="NAME", help="the protocol, as in docs/protocols.md")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the CSV file to write")
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="the Markdown file to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what is printed to this file as well")
    arguments = parser.parse_args()

    def run() -> None:
        from nsff.metrics.reproduce import write_comparison

        write_comparison(arguments.tables, arguments.protocol, arguments.out, arguments.table)
        print(arguments.table.read_text(encoding="utf-8"))

    run_and_exit(run, arguments.log)
