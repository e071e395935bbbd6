"""The ``nsff`` command: subcommands for people, one file each in nsff/commands/. The workflow itself runs through
Snakemake.

A command module has HELP (one line), EXAMPLES (one command line each, without ``nsff``), ``add_arguments(parser)`` and
``run(arguments) -> int | None``; its file name is its name. Modules are found by listing the folder, so that a new
command is one new file; they import what they need inside ``run``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import nsff
import nsff.commands
from nsff.errors import NsffError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; argparse leaves with 2 by itself."""
WORKFLOW = (
    "snakemake --cores all                          # every scene of config.yaml, all stages",
    "snakemake --cores all results/NAME/report.html # one scene",
    "python scripts/train.py --help                 # one stage by hand",
)


def command_modules() -> dict[str, ModuleType]:
    """The command modules by name, in alphabetical order."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(nsff.commands.__path__) if not module.name.startswith("_")
    )
    return {name.replace("_", "-"): importlib.import_module(f"nsff.commands.{name}") for name in names}


def build_parser() -> argparse.ArgumentParser:
    modules = command_modules()
    first_examples = [f"nsff {module.EXAMPLES[0]}" for module in modules.values()]
    parser = argparse.ArgumentParser(
        prog="nsff",
        description="Neural scene flow fields: tools around the Snakemake workflow, which turns a video into a 4D "
        "scene and its objects.",
        epilog=_listed("examples", ["nsff COMMAND --help", *first_examples])
        + _listed("the workflow itself", WORKFLOW)
        + "exit status: 0 done, 1 an error (told as: what, what is wrong with it, what to do), 2 wrong usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nsff {nsff.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, module in modules.items():
        own = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=_listed("examples", [f"nsff {example}" for example in module.EXAMPLES]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(own)
        own.set_defaults(run=module.run)
    return parser


def _listed(title: str, lines: Sequence[str]) -> str:
    return f"{title}:\n" + "".join(f"  {line}\n" for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status. Known failures are printed without a traceback and give 1."""
    parsed = build_parser().parse_args(arguments)
    try:
        return parsed.run(parsed) or DONE
    except NsffError as error:
        print(f"nsff {parsed.command}: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"nsff {parsed.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) is gone; nor can what is still buffered be written when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
