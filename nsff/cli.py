"""The ``nsff`` command: subcommands for people, one file each in nsff/commands/. The workflow itself runs through
Snakemake.

A command is a module of nsff/commands whose file name is its name. It has HELP (one line), a docstring (the long
description), EXAMPLES (one command line each, without ``nsff``), and ``run``, a function whose annotated parameters are
the command's arguments and options, and which returns an exit status or None. A command of several actions has ACTIONS,
functions by name, in place of ``run``. Modules are found by listing the folder, so that a new command is one new file;
they import what takes long to load inside their functions.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

import nsff
import nsff.commands
from nsff.errors import NsffError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""
ABOUT = (
    "Neural scene flow fields: tools around the Snakemake workflow that turns a video into a 4D scene and its objects."
)
WORKFLOW = (
    "snakemake --cores all                          # every scene of config.yaml, all stages",
    "snakemake --cores all results/NAME/report.html # one scene",
    "python scripts/train.py --help                 # one stage by hand",
)
STATUSES = (
    "exit status: 0 done, 1 an error (told as: what, what is wrong with it, what to do), 2 wrong usage,"
    " 130 stopped by Ctrl-C"
)


def command_modules() -> dict[str, ModuleType]:
    """The command modules by name, in alphabetical order."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(nsff.commands.__path__) if not module.name.startswith("_")
    )
    return {name.replace("_", "-"): importlib.import_module(f"nsff.commands.{name}") for name in names}


def build_app() -> App:
    """The parser of all commands."""
    app = App(
        name="nsff",
        help=ABOUT,
        version=f"nsff {nsff.__version__}",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
    )
    app.register_install_completion_command(help="set up completion for this shell (bash, zsh, fish)")
    for name, module in command_modules().items():
        about = f"{module.HELP}\n\n{_unwrapped(module.__doc__ or '')}"
        if hasattr(module, "ACTIONS"):
            actions = App(name=name, help=about)
            for action, function in module.ACTIONS.items():
                actions.command(function, name=action, help=_unwrapped(function.__doc__))
            app.command(actions)
        else:
            app.command(module.run, name=name, help=about)
    return app


def parsed(arguments: Sequence[str]) -> Callable[[], int | None]:
    """Parses a command line into a function to call. Raises CycloptsError where it is not understood.

    >>> run = parsed(["weights", "list"])
    """
    function, bound, _ = build_app().parse_args(arguments, exit_on_error=False, print_error=False)
    if getattr(function, "__func__", None) is App.help_print:
        return partial(_help, arguments, partial(function, *bound.args, **bound.kwargs))
    return partial(function, *bound.args, **bound.kwargs)


def _help(arguments: Sequence[str], show: Callable[[], None]) -> int:
    """Help of the whole or of a command, with its examples; also where a command line stops before it says what to do,
    which is wrong usage."""
    asked = bool({"--help", "-h"} & set(arguments))
    show()
    modules = command_modules()
    named = [modules[word] for word in arguments[:1] if word in modules]
    if named:
        print(_listed("examples", [f"nsff {example}" for example in named[0].EXAMPLES]), end="")
    else:
        print(_listed("examples", ["nsff COMMAND --help", *(f"nsff {m.EXAMPLES[0]}" for m in modules.values())]))
        print(_listed("the workflow itself", WORKFLOW).lstrip("\n"))
        print(STATUSES)
    if asked:
        return DONE
    print(f"{_named(arguments)}: error: say which {'action' if named else 'COMMAND'}", file=sys.stderr)
    return USAGE


def _unwrapped(text: str) -> str:
    """Paragraphs without line breaks: help is as wide as the terminal."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


def _listed(title: str, lines: Sequence[str]) -> str:
    return f"\n{title}:\n" + "".join(f"  {line}\n" for line in lines)


def _named(arguments: Sequence[str]) -> str:
    """The command that messages begin with, with its action."""
    modules = command_modules()
    if not arguments or arguments[0] not in modules:
        return "nsff"
    return " ".join(["nsff", *arguments[: 2 if arguments[1:2] and hasattr(modules[arguments[0]], "ACTIONS") else 1]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status. Known failures are printed without a traceback and give 1."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return parsed(tokens)() or DONE
    except CycloptsError as error:
        told = (
            f"not understood: {' '.join(error.unused_tokens or [])}"
            if isinstance(error, UnusedCliTokensError)
            else error
        )
        print(f"{_named(tokens)}: error: {told}\n  what to do: see {_named(tokens)} --help", file=sys.stderr)
        return USAGE
    except NsffError as error:
        print(f"nsff {tokens[0]}: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"nsff {tokens[0]}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) is gone; nor can what is still buffered be written when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if (told_of := _of_the_disk(error)) is None:
            raise
        print(f"nsff {tokens[0]}: error: {told_of}", file=sys.stderr)
        return FAILED


def _of_the_disk(error: OSError) -> NsffError | None:
    """The error to tell where a disk is full, or a folder is not ours to write to; None for other errors."""
    from pathlib import Path

    from nsff.files.atomic import explained

    try:
        with explained(Path(os.fsdecode(error.filename or "."))):
            raise error
    except NsffError as told:
        return told
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
