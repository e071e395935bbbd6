"""Materials and bodies for rendered scenes, made with Blender's Python module: nothing is read from a file.

Axes: x right, y away from the cameras, z up, metres. Bodies are meshes; materials are procedural, in the body's own
coordinates, so that a texture moves with what it is on. Blender's types are not known to the type checker, hence Any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

Colour = tuple[float, float, float]
FRONT = (-math.pi / 2, 0.0, 0.0)
"""Turns textures of the plane of x and y so that they lie in that of x and z: walls that face the cameras."""
SIDE = (-math.pi / 2, -math.pi / 2, 0.0)
"""The same for walls that face right or left, in the plane of y and z."""


def _shaded(name: str, roughness: float, metallic: float) -> tuple[Any, Any, Any]:
    material = bpy.data.materials.new(name)
    nodes = material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    return material, nodes, shader


def glossy(name: str, colour: Colour, roughness: float = 0.05, metallic: float = 0.0) -> Any:
    """One colour that reflects: panes, mirrors (metallic), paint."""
    material, _, shader = _shaded(name, roughness, metallic)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    return material


def glowing(name: str, colour: Colour, strength: float) -> Any:
    """One colour that gives light."""
    material, _, shader = _shaded(name, 0.5, 0)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Emission Color"].default_value = (*colour, 1)
    shader.inputs["Emission Strength"].default_value = strength
    return material


def textured(
    name: str,
    kind: str,
    colours: Sequence[Colour],
    scale: float,
    turn: tuple[float, float, float] = (0, 0, 0),
    roughness: float = 0.7,
    grain: float = 0.5,
    glow: float = 0.0,
    stretch: tuple[float, float, float] = (1, 1, 1),
) -> Any:
    """``kind`` is noise, voronoi (cells of one colour each), brick, checker or wave (wood grain); ``scale`` in repeats
    a metre. ``grain``: how much a finer noise darkens it. ``glow``: shines by itself as well (skies, screens)."""
    material, nodes, shader = _shaded(name, roughness, 0)
    links = material.node_tree.links
    place, mapping = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value = turn
    mapping.inputs["Scale"].default_value = stretch
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    texture = nodes.new(f"ShaderNodeTex{kind.capitalize()}")
    links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    texture.inputs["Scale"].default_value = scale
    if kind in ("brick", "checker"):
        texture.inputs["Color1"].default_value = (*colours[0], 1)
        texture.inputs["Color2"].default_value = (*colours[1], 1)
        if kind == "brick":
            texture.inputs["Mortar"].default_value = (*colours[2], 1)
        colour = texture.outputs["Color"]
    else:
        if kind == "noise":
            texture.inputs["Detail"].default_value = 5
        if kind == "wave":
            texture.inputs["Distortion"].default_value = 6
            texture.inputs["Detail"].default_value = 4
        ramp = nodes.new("ShaderNodeValToRGB")
        first, last = (0.3, 0.7) if kind == "noise" else (0.1, 0.9)
        for k, one in enumerate(colours):
            at = first + (last - first) * k / max(len(colours) - 1, 1)
            element = ramp.color_ramp.elements[k] if k < 2 else ramp.color_ramp.elements.new(at)
            element.position, element.color = at, (*one, 1)
        if kind == "voronoi":
            ramp.color_ramp.interpolation = "CONSTANT"
        links.new(texture.outputs["Color" if kind == "voronoi" else 0], ramp.inputs[0])
        colour = ramp.outputs["Color"]
    colour = _grained(nodes, links, mapping, colour, 6 * scale, grain)
    links.new(colour, shader.inputs["Base Color"])
    if glow:
        links.new(colour, shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = glow
    return material


def _grained(nodes: Any, links: Any, mapping: Any, colour: Any, scale: float, strength: float) -> Any:
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = scale
    noise.inputs["Detail"].default_value = 2
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    steeper = nodes.new("ShaderNodeMapRange")
    for name, value in (("From Min", 0.35), ("From Max", 0.65), ("To Min", 0.25), ("To Max", 1.3)):
        steeper.inputs[name].default_value = value
    links.new(noise.outputs[0], steeper.inputs["Value"])
    mix = nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "MULTIPLY"
    mix.inputs[0].default_value = strength
    links.new(colour, mix.inputs[6])
    links.new(steeper.outputs["Result"], mix.inputs[7])
    return mix.outputs[2]


# --- Bodies ----------------------------------------------------------------------------------------------------------
def body(name: str, vertices: Any, faces: Any, material: Any, at: Sequence[float] = (0, 0, 0), smooth: bool = False,
         turn: Sequence[float] = (0, 0, 0)) -> Any:  # fmt: skip
    """A mesh at a place (metres) and with a turn about x, y, z (radians)."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(map(float, v)) for v in vertices], [], [tuple(map(int, f)) for f in faces])
    if smooth:
        mesh.shade_smooth()
    mesh.materials.append(material)
    made = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(made)
    made.matrix_world = placed(at, turn)
    return made


def placed(at: Sequence[float], turn: Sequence[float] = (0, 0, 0)) -> Any:
    """The matrix of a turn about x, then y, then z, and then a shift."""
    x, y, z = (Matrix.Rotation(angle, 4, axis) for angle, axis in zip(turn, "XYZ", strict=True))
    return Matrix.Translation(Vector(at)) @ z @ y @ x


CORNERS = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(name: str, size: Sequence[float], material: Any, at: Sequence[float] = (0, 0, 0),
        turn: Sequence[float] = (0, 0, 0)) -> Any:  # fmt: skip
    """A box about its centre."""
    return body(name, np.array(CORNERS) * size, SIDES, material, at, turn=turn)


def revolved(name: str, profile: Sequence[tuple[float, float]], material: Any, at: Sequence[float] = (0, 0, 0),
             turn: Sequence[float] = (0, 0, 0), segments: int = 24) -> Any:  # fmt: skip
    """A profile of (radius, height) turned about the z axis."""
    angles = 2 * np.pi * np.arange(segments) / segments
    vertices = [(r * np.cos(a), r * np.sin(a), z) for r, z in profile for a in angles]
    faces = [
        (i * segments + k, i * segments + (k + 1) % segments, (i + 1) * segments + (k + 1) % segments,
         (i + 1) * segments + k)
        for i in range(len(profile) - 1) for k in range(segments)
    ]  # fmt: skip
    return body(name, vertices, faces, material, at, True, turn)


def capsule(name: str, radius: float, top: float, bottom: float, material: Any, flat: float = 1) -> Any:
    """A rounded rod from height ``top`` to ``bottom``; ``flat`` is its thickness along y over that along x."""
    arc = np.linspace(0, np.pi / 2, 6)
    profile = [(radius * np.sin(a), top + radius * np.cos(a)) for a in arc]
    profile += [(radius * np.cos(a), bottom - radius * np.sin(a)) for a in arc]
    made = revolved(name, profile, material)
    made.data.transform(Matrix.Diagonal((1, flat, 1, 1)))
    return made


def ball(name: str, radius: float, material: Any, at: Sequence[float] = (0, 0, 0)) -> Any:
    angles = np.linspace(0, np.pi, 21)
    return revolved(name, [(radius * np.sin(a), radius * np.cos(a)) for a in angles], material, at, segments=40)


def disc(name: str, radius: float, thickness: float, material: Any, at: Sequence[float],
         turn: Sequence[float] = (0, 0, 0)) -> Any:  # fmt: skip
    """A wheel or plate about the z axis."""
    half = thickness / 2
    profile = [(0, half), (radius, half), (radius, -half), (0, -half)]
    made = revolved(name, profile, material, at, turn, 32)
    made.data.shade_flat()
    return made


def lettering(name: str, text: str, size: float, material: Any, at: Sequence[float],
              turn: Sequence[float] = (math.pi / 2, 0, 0)) -> Any:  # fmt: skip
    """Letters 1 cm thick; upright and facing the cameras unless turned."""
    curve = bpy.data.curves.new(name, "FONT")
    curve.body, curve.size, curve.extrude, curve.align_x = text, size, 0.005, "CENTER"
    mesh = bpy.data.meshes.new_from_object(bpy.data.objects.new(name, curve))
    mesh.materials.append(material)
    made = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(made)
    made.matrix_world = placed(at, turn)
    return made


def leaves(name: str, size: Sequence[float], count: int, leaf: float, material: Any, at: Sequence[float],
           random: np.random.Generator) -> Any:  # fmt: skip
    """Triangles near the surface of a box: hedges, crowns of trees."""
    inside = random.uniform(-0.5, 0.5, (count, 3))
    axis, side = random.integers(0, 3, count), random.choice([-0.5, 0.5], count)
    inside[np.arange(count), axis] = side + random.normal(0, 0.04, count)
    middle = inside * size
    corners = middle[:, None] + random.normal(0, leaf, (count, 3, 3))
    return body(name, corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), material, at)


# --- A figure of rounded rods ----------------------------------------------------------------------------------------
JOINTS: tuple[tuple[str, str, tuple[float, float, float], float, float, float, str], ...] = (
    # part, what it hangs on, joint there, from height, to height, radius, material
    ("hips", "", (0, 0, 0), 0.04, -0.06, 0.13, "trousers"),
    ("chest", "hips", (0, 0, 0.08), 0.42, 0.05, 0.16, "shirt"),
    ("head", "chest", (0, 0, 0.6), 0.16, 0.06, 0.105, "skin"),
    ("hat", "head", (0, 0, 0.13), 0.07, 0.05, 0.11, "hat"),
    ("arm.l", "chest", (-0.21, 0, 0.46), 0, -0.27, 0.055, "shirt"),
    ("arm.r", "chest", (0.21, 0, 0.46), 0, -0.27, 0.055, "shirt"),
    ("hand.l", "arm.l", (0, 0, -0.29), 0, -0.27, 0.045, "skin"),
    ("hand.r", "arm.r", (0, 0, -0.29), 0, -0.27, 0.045, "skin"),
    ("thigh.l", "hips", (-0.09, 0, -0.06), 0, -0.38, 0.085, "trousers"),
    ("thigh.r", "hips", (0.09, 0, -0.06), 0, -0.38, 0.085, "trousers"),
    ("shin.l", "thigh.l", (0, 0, -0.41), 0, -0.36, 0.062, "trousers"),
    ("shin.r", "thigh.r", (0, 0, -0.41), 0, -0.36, 0.062, "trousers"),
    ("foot.l", "shin.l", (0, 0.06, -0.42), 0.0, -0.005, 0.055, "shoes"),
    ("foot.r", "shin.r", (0, 0.06, -0.42), 0.0, -0.005, 0.055, "shoes"),
)
HIP_HEIGHT = 0.955
"""Of the hips' joint above the ground when the legs are straight."""


def figure(materials: dict[str, Any]) -> dict[str, Any]:
    """The parts of a person of 1.75 m who looks along y, by name; ``posed`` places them."""
    parts = {}
    for name, _, _, top, bottom, radius, material in JOINTS:
        flat = 0.7 if name in ("chest", "hips") else 2.2 if name.startswith("foot") else 1
        parts[name] = capsule(f"figure.{name}", radius, top, bottom, materials[material], flat)
    return parts


def posed(root: Any, angles: dict[str, Sequence[float]]) -> dict[str, Any]:
    """The matrix of each part: ``root`` is that of the hips, ``angles`` turns about x, y, z (radians) at the joints."""
    found: dict[str, Any] = {}
    for name, parent, joint, *_ in JOINTS:
        found[name] = (found[parent] if parent else root) @ placed(joint, angles.get(name, (0, 0, 0)))
    return found


Motion = Callable[[float], dict[str, Any]]
"""The matrices of what moves, by the name of the body, at a time counted in frames."""
