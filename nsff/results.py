"""Results that one stage computes and another one needs, as small typed files. Summaries are for people alone.

Each is written beside the arrays that it describes and read through ``Scene``. Runs from before a result had a file of
its own kept the same numbers in their summary: ``from_summary`` reads those, so that nothing has to be made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nsff.files.io import read_json
from nsff.files.reading import reading

NOT_KNOWN = "not known"


class Result(BaseModel):
    """Base of all results: immutable, and strict when read; keys that are not known are left for later versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


R = TypeVar("R", bound=Result)


def read_result(path: Path, kind: type[R], stage: str) -> R:
    """The result in ``path``; raises StageError naming the file where it is missing or not of this kind."""
    with reading(path, f"delete it and run the stage {stage} again", message=f"is no result of the stage {stage}"):
        try:
            return kind.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from None


class IngestedFrame(Result):
    """One frame that was taken: its number and name in the source, and its time in seconds."""

    index: int
    name: str = ""
    time: float = 0.0


class IngestedSource(Result):
    """Where the frames came from."""

    path: str = ""
    kind: str = ""
    """Name of the reader: ``video``, ``frames``, ``nvidia`` and so on."""


class GivenKinds(Result):
    """The kinds of data that came with the source."""

    cameras: bool = False
    points: bool = False
    depth: bool = False
    flow: bool = False
    masks: bool = False
    tracks: bool = False


class IngestResult(Result):
    """The frames that were taken, and what came with them: manifest.json."""

    n_frames: int
    width: int = 0
    height: int = 0
    """Size of the ingested frames in pixels; 0 where a manifest does not say it."""
    source: IngestedSource = IngestedSource()
    frames: list[IngestedFrame] = []
    frame_rate: float | None = None
    """Frames a second; where the source did not say it, 24, or None in older manifests."""
    focal_guess: float | None = None
    """Focal length in pixels of the ingested frames, by the source's metadata."""
    given: GivenKinds = GivenKinds()


class FlowResult(Result):
    """How the flow came about."""

    backend: str = NOT_KNOWN
    """Name of the backend: ``given``, ``dis``, or a network's."""

    @property
    def without_network(self) -> bool:
        """Whether it was made without a network, and did not come with the source.

        >>> FlowResult(backend="dis").without_network, FlowResult(backend="given").without_network
        (True, False)
        """
        return self.backend == "dis"


class DepthResult(Result):
    """The meaning of the depth stage's disparity, for the losses of training."""

    backend: str
    """Name of the backend: ``given``, ``classical``, or a network's."""
    metric: bool
    """Disparity is in 1/scene units; else it is relative, each frame with a scale and a shift of its own."""
    aligned: bool = False
    """Its unit was fitted to static points, by a scale and perhaps a shift for each frame."""
    placed_by_motion: float = Field(0.0, ge=0, le=1)
    """Share of the moving pixels whose depth follows from their motion (motion-prior triangulation)."""

    @property
    def guessed_share(self) -> float:
        """Share of the moving pixels whose depth is a guess, from 0 to 1: it was neither measured nor follows from
        their motion, but is what a network or the surroundings suggest.

        >>> DepthResult(backend="classical", metric=True, placed_by_motion=0.75).guessed_share
        0.25
        >>> DepthResult(backend="given", metric=True).guessed_share
        0.0
        """
        measured = self.metric and not self.aligned and self.backend != "classical"
        return 0.0 if measured else 1.0 - self.placed_by_motion

    @classmethod
    def from_summary(cls, numbers: Mapping[str, Any]) -> DepthResult:
        """From the numbers of the depth stage's summary; without any, nothing is known of its unit."""
        classical = "grounded_fraction" in numbers
        return cls(
            backend=str(numbers.get("backend") or ("classical" if classical else NOT_KNOWN)),
            metric=bool(numbers.get("metric")),
            aligned=bool(numbers.get("aligned")),
            placed_by_motion=float(numbers.get("least_motion_fraction") or 0.0),
        )


class TrainResult(Result):
    """How a model came about, as tables of scores say it."""

    preset: str | None = None
    steps: int | None = None
    checkpoint: str | None = None
    """Name of the file where the model was not trained here but released by others."""

    @property
    def origin(self) -> str:
        """In words: ``preset fast, 3000 steps``."""
        return f"{self.checkpoint or f'preset {self.preset}'}, {self.steps} steps"

    @classmethod
    def from_model(cls, content: Mapping[str, Any]) -> TrainResult:
        """From model/model.json, or from the summary of the train stage."""
        checkpoint = content.get("checkpoint")
        file = checkpoint["file"] if isinstance(checkpoint, Mapping) else checkpoint
        return cls(preset=content.get("preset"), steps=content.get("steps"), checkpoint=file)
