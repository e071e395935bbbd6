"""Errors that a user can act on: each names the subject (file or key), the value met, and the remedy."""

from __future__ import annotations


class NsffError(Exception):
    """A failure with a known cause. Scripts print it without a traceback and exit with status 1.

    ``subject`` is the file, key or stage; ``problem`` says what is wrong with which value; ``remedy`` what to do.
    """

    def __init__(self, subject: object, problem: str, remedy: str = "") -> None:
        self.subject = str(subject)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.subject}: {problem}" + (f"\n  what to do: {remedy}" if remedy else ""))


class InputError(NsffError):
    """The user's input (video, folder, cameras, truth) cannot be used."""


class ConfigError(NsffError):
    """The configuration is wrong: unknown key, wrong type, impossible combination."""


class StageError(NsffError):
    """A stage met corrupt intermediate data or cannot reach an acceptable result."""


class WeightsError(StageError):
    """Pretrained weights are missing, damaged, of another network, or out of reach."""
