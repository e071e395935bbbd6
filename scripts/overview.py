"""Write the page over all scenes."""

import argparse
from pathlib import Path

from _arguments import run_and_exit

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR", help="scene folders, results/NAME")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the HTML file to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write what is printed to this file as well")
    arguments = parser.parse_args()

    def run() -> None:
        from nsff.report.overview import run_overview

        run_overview(arguments.scenes, arguments.out)

    run_and_exit(run, arguments.log)
