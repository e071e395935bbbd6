"""Errors that a user can act on: each names the subject (file or key), the value met, and the remedy."""

from __future__ import annotations

LINES = "\n\t"


class NsffError(Exception):
    """A failure with a known cause. Scripts print it without a traceback and exit with status 1.

    ``subject`` is the file, key or stage; ``problem`` says what is wrong with which value; ``remedy`` what to do.
    """

    def __init__(self, subject: object, problem: str, remedy: str = "") -> None:
        self.subject = str(subject)
        self.problem = problem
        self.remedy = remedy
        told = f"{printable(self.subject, 500)}: {printable(problem, 4000, keep=LINES)}"
        super().__init__(told + (f"\n  what to do: {printable(remedy, 4000, keep=LINES)}" if remedy else ""))


def printable(text: str, at_most: int, keep: str = "") -> str:
    """``text`` without control characters (escaped, but for those in ``keep``), its middle left out where it is long.

    What comes from files and names may hold anything, and a terminal obeys some of it.
    """
    text = "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
    half = at_most // 2
    return text if len(text) <= at_most else f"{text[:half]} ... {text[-half:]}"


class InputError(NsffError):
    """The user's input (video, folder, cameras, truth) cannot be used."""


class ConfigError(NsffError):
    """The configuration is wrong: unknown key, wrong type, impossible combination."""


class StageError(NsffError):
    """A stage met corrupt intermediate data or cannot reach an acceptable result."""


class WeightsError(StageError):
    """Pretrained weights are missing, damaged, of another network, or out of reach."""
