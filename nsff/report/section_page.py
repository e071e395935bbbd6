"""The section of the scene's own page: shown from the file beside the report, and linked."""

from __future__ import annotations

from nsff.report.content import Absent, Frame, Part, Section
from nsff.report.gather import Material


def page_section(material: Material) -> Section:
    """scene.html in a frame; a note where it is not there."""
    scene = material.scene
    why = material.why_no("page", scene.page_path)
    part: Part = Absent("The scene to fly through", why) if why else page_frame(scene.page_path.name)
    return Section("page", "Scene to fly through", material.of("page"), "", [part])


def page_frame(name: str) -> Part:
    """The page of that name, beside the report."""
    return Frame(
        "The scene in 4D", name,
        "Drag to turn, wheel or two fingers to come nearer, the slider for time. Opened by itself it has layers, "
        "objects to switch off, the input frames, and key frames for videos.",
    )  # fmt: skip
