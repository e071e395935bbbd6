"""Shared by all sections of a page: the scene, its settings, which frames are shown, and parts that may be absent.

A file that is missing or damaged costs the page that part, never the page: the note in its place names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.report.content import Absent, Part, Picture, Strip
from nsff.report.pictures import embed
from nsff.report.stages import not_asked
from nsff.report.verdicts import Verdict
from nsff.scene import Scene


@dataclass
class Material:
    """The scene and how its page is to show it. ``frames`` are the frame numbers shown in every section."""

    scene: Scene
    config: SceneConfig
    verdicts: Sequence[Verdict]

    @cached_property
    def frames(self) -> list[int]:
        return spread(range(self.scene.n_frames), self.config.report.frames)

    def of(self, *stages: str) -> list[Verdict]:
        """Verdicts of the named stages, in the order of the pipeline."""
        return [verdict for verdict in self.verdicts if verdict.stage.name in stages]

    def embed(self, image: np.ndarray, alt: str, caption: str = "") -> Picture:
        return embed(image, alt, caption, self.config.report.width)

    def why_no(self, stage: str, folder: Path) -> str | None:
        """Why the folder of a stage cannot be shown, or None where it is there."""
        reason = not_asked(stage, self.config)
        if folder.exists():
            return None
        return reason or f"{folder.name} is not there: the stage {stage} has not run, or ended with an error"


@dataclass
class Parts:
    """Parts of a section in order."""

    parts: list[Part] = field(default_factory=list)

    def add(self, what: str, make: Callable[[], Part | Iterable[Part]]) -> None:
        """Adds what ``make`` returns; where a file is missing or damaged, a note that says so."""
        try:
            made = make()
        except StageError as error:
            made = Absent(what, f"{Path(error.subject).name}: {error.problem}")
        except FileNotFoundError as error:
            made = Absent(what, f"{Path(str(error.filename)).name} is missing")
        self.parts += list(made) if isinstance(made, (list, tuple)) else [made]  # type: ignore[list-item]

    def strip(
        self,
        material: Material,
        title: str,
        picture: Callable[[int], np.ndarray],
        what: str,
        stage: str,
        folder: Path,
        note: str = "",
        frames: Callable[[], Sequence[int]] | None = None,
    ) -> None:
        """A row of one picture for each frame shown; ``what`` describes a picture, for those who cannot see it."""
        reason = material.why_no(stage, folder)
        if reason:
            self.parts.append(Absent(title, reason))
            return

        def make() -> Strip:
            shown = frames() if frames else material.frames
            pictures = [material.embed(picture(i), f"{what}, frame {i}", f"frame {i}") for i in shown]
            return Strip(title, pictures, note)

        self.add(title, make)


def spread(values: Sequence[int], most: int) -> list[int]:
    """Up to ``most`` values, evenly spread, first and last included (the middle one where one is asked for)."""
    if not values:
        return []
    if most == 1:
        return [values[len(values) // 2]]
    places = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return [values[i] for i in places]
