"""The ``nsff`` command: subcommands for people, one file each in nsff/commands/. The workflow itself runs through
Snakemake.

A command module has HELP (one line), ``add_arguments(parser)`` and ``run(arguments) -> int | None``; its file name is
its name. Modules are found by listing the folder, so that a new command is one new file; they import what they need
inside ``run``.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import nsff
import nsff.commands
from nsff.errors import NsffError


def command_modules() -> dict[str, ModuleType]:
    """The command modules by name, in alphabetical order."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(nsff.commands.__path__) if not module.name.startswith("_")
    )
    return {name.replace("_", "-"): importlib.import_module(f"nsff.commands.{name}") for name in names}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nsff", description="Neural scene flow fields: tools around the Snakemake workflow."
    )
    parser.add_argument("--version", action="version", version=f"nsff {nsff.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in command_modules().items():
        own = subparsers.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(own)
        own.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status. Known failures are printed without a traceback and give 1."""
    parsed = build_parser().parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except NsffError as error:
        print(f"nsff {parsed.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
