"""Arguments and options about a clip, which ``nsff run`` and ``nsff init`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

Video = Annotated[Path, Parameter(help="a video, or a folder of images or in another layout that is read")]
PresetName = Annotated[
    str | None, Parameter(help="demo (CPU), fast or gaussians (GPU), nsff or saff (the published models)")
]
SceneName = Annotated[str | None, Parameter(help="of the scene (default: of the file)")]
Height = Annotated[int | None, Parameter(help="rows of the pictures to work with", validator=Number(gte=32))]
Frames = Annotated[int | None, Parameter(help="most frames to take", validator=Number(gte=2))]
Start = Annotated[str | None, Parameter(help="first frame, or time as 1.5s")]
End = Annotated[str | None, Parameter(help="one past the last frame, or time as 4s")]
