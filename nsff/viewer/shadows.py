"""Gaussians of shadows, by who casts them: what moves, is of no object, and lies where clusters/shadows/ has a shadow.

In a scene of splats the shadow of object n has number SHADOWS + n, so that a page can hide it with its caster.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int16

from nsff.decompose.cast_shadows import CastShadows
from nsff.scene import Scene
from nsff.splats.scene import MovingSplats, SplatScene

SHADOWS = 1000
"""Added to the number of an object (at most 254)."""
TIMES = (-1, 0, 1)
"""Frames, about the one at which a Gaussian is seen best, at which is looked; half of them have to agree."""


def with_shadows(splats: SplatScene, scene: Scene) -> SplatScene:
    """The scene with Gaussians of shadows numbered, where objects were found by motion; else as it was."""
    if (shadows := CastShadows.load(scene)) is None:
        return splats
    objects = numbered(splats.moving, shadows)
    names = dict(splats.object_names)
    for number in np.unique(objects[objects > SHADOWS]).tolist():
        caster = number - SHADOWS
        names[number] = f"Shadow of {names.get(caster) or f'object {caster}'}"
    return replace(splats, moving=replace(splats.moving, objects=objects), object_names=names)


def numbered(moving: MovingSplats, shadows: CastShadows) -> Int16[np.ndarray, "D"]:
    """Object numbers, those of shadows included."""
    own = np.flatnonzero(moving.objects == 0)
    best = np.round(moving.reference[own]).astype(int)
    votes = np.zeros((len(TIMES), len(own)), np.int64)
    asked = np.zeros(len(own), int)
    for row, shift in enumerate(TIMES):
        for frame in np.unique(best + shift):
            if frame not in shadows.masks:
                continue
            at = np.flatnonzero(best + shift == frame)
            votes[row, at] = shadows.casters(moving.chosen(own[at]).places(float(frame)), int(frame))
            asked[at] += 1
    caster = votes.max(axis=0)
    agree = (votes == caster).sum(axis=0)
    found = (caster > 0) & (2 * agree >= np.maximum(asked, 1))
    objects = moving.objects.copy()
    objects[own[found]] = SHADOWS + caster[found]
    return objects
