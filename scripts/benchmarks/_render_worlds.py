"""Three rendered scenes: a street, a yard and a room. Each function builds one and returns what moves in it.

Axes: x right, y away from the cameras, z up, metres; the cameras stand near y = 0 at heights of 1.3 to 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from _render_parts import (
    FRONT,
    HIP_HEIGHT,
    SIDE,
    Motion,
    ball,
    body,
    box,
    disc,
    figure,
    glossy,
    glowing,
    leaves,
    lettering,
    placed,
    posed,
    revolved,
    textured,
)  # fmt: skip
from mathutils import Vector


@dataclass
class World:
    """Everything that moves: label numbers by name of the body, their names, and the motion."""

    labels: dict[str, int]
    objects: list[dict[str, Any]]
    motion: Motion
    look_at: tuple[float, float, float]
    exposure: float = 0.0


def _sun(
    strength: float, angle: float, towards: tuple[float, float, float], colour: tuple[float, float, float]
) -> None:
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle, light.color = strength, angle, colour
    made = bpy.data.objects.new("sun", light)
    made.rotation_mode = "QUATERNION"
    made.rotation_quaternion = Vector(towards).to_track_quat("-Z", "Y")
    bpy.context.collection.objects.link(made)


def _lamp(at: tuple[float, float, float], power: float, size: float, colour: tuple[float, float, float]) -> None:
    light = bpy.data.lights.new("lamp", "POINT")
    light.energy, light.shadow_soft_size, light.color = power, size, colour
    made = bpy.data.objects.new("lamp", light)
    made.location = at
    bpy.context.collection.objects.link(made)


def _sky(colour: tuple[float, float, float], strength: float) -> None:
    world = bpy.data.worlds.new("sky")
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (*colour, 1)
    background.inputs["Strength"].default_value = strength
    bpy.context.scene.world = world


def _barrel(name: str, at: tuple[float, float, float], size: float, material: Any, hoop: Any) -> None:
    heights = np.linspace(0, 0.9, 9)
    revolved(name, [(0, 0), *((size * (0.29 + 0.06 * math.sin(math.pi * h / 0.9)), size * h) for h in heights),
                    (0, size * 0.88)], material, at)  # fmt: skip
    for k, h in enumerate((0.12, 0.32, 0.58, 0.78)):
        r = size * (0.295 + 0.06 * math.sin(math.pi * h / 0.9))
        profile = [
            (r, size * h - 0.02),
            (r + 0.012, size * h - 0.02),
            (r + 0.012, size * h + 0.02),
            (r, size * h + 0.02),
        ]
        revolved(f"{name}.hoop{k}", profile, hoop, at)


def _people_materials(shirt: Any, trousers: Any) -> dict[str, Any]:
    return {
        "shirt": shirt, "trousers": trousers,
        "skin": textured("skin", "noise", [(0.5, 0.27, 0.18), (0.75, 0.45, 0.32)], 18, grain=0.2),
        "hat": textured("hat", "checker", [(0.5, 0.05, 0.05), (0.85, 0.75, 0.5)], 14),
        "shoes": textured("shoes", "noise", [(0.03, 0.03, 0.04), (0.3, 0.2, 0.12)], 25),
    }  # fmt: skip


# --- Street ----------------------------------------------------------------------------------------------------------
def street(random: np.random.Generator) -> World:
    """A person walks past a wall with windows, a barrel and a parked car; a ball bounces ahead. Hard shadows."""
    _sky((0.35, 0.55, 0.9), 0.6)
    _sun(4.0, math.radians(0.6), (0.55, 0.75, -0.75), (1, 0.93, 0.82))
    paving = textured("paving", "brick", [(0.32, 0.3, 0.28), (0.5, 0.46, 0.4), (0.12, 0.11, 0.1)], 2.2, grain=0.8)
    asphalt = textured("asphalt", "noise", [(0.05, 0.05, 0.055), (0.2, 0.19, 0.18), (0.1, 0.1, 0.1)], 9, grain=0.9)
    box("pavement", (30, 5.2, 0.3), paving, (0, 6.6, -0.15))
    box("road", (30, 14, 0.2), asphalt, (0, -3.0, -0.22))
    for k in range(7):
        stripe = textured(f"stripe{k}", "noise", [(0.4, 0.4, 0.36), (0.75, 0.74, 0.68)], 6)
        box(f"stripe{k}", (0.9, 0.14, 0.01), stripe, (-6 + 2 * k, 2.9, -0.117))
    bricks = textured(
        "bricks", "brick", [(0.42, 0.13, 0.07), (0.28, 0.09, 0.06), (0.5, 0.47, 0.42)], 3.6, FRONT, grain=0.7
    )
    box("wall", (30, 0.4, 8), bricks, (0, 9.2, 4))
    plinth = textured("plinth", "voronoi", [(0.3, 0.29, 0.27), (0.45, 0.42, 0.38), (0.2, 0.2, 0.2)], 5, grain=0.8)
    box("plinth", (30, 0.12, 0.5), plinth, (0, 8.96, 0.25))
    pane = glossy("pane", (0.4, 0.42, 0.45), 0.02, 1)
    frames = textured("frames", "wave", [(0.75, 0.72, 0.66), (0.5, 0.47, 0.42)], 8)
    for x in (-4.4, -1.5, 1.6, 4.6):
        box(f"window{x}", (1.5, 0.06, 1.7), pane, (x, 9.0, 2.35))
        for dx, dz, w, h in ((0, 0.87, 1.66, 0.1), (0, -0.87, 1.8, 0.12), (-0.78, 0, 0.1, 1.8), (0.78, 0, 0.1, 1.8),
                             (0, 0, 0.06, 1.7), (0, 0.25, 1.5, 0.06)):  # fmt: skip
            box(f"frame{x},{dx},{dz}", (w, 0.14, h), frames, (x + dx, 8.97, 2.35 + dz))
    sign = textured("sign", "noise", [(0.03, 0.12, 0.1), (0.06, 0.25, 0.2)], 3)
    box("sign", (2.6, 0.08, 0.6), sign, (0.1, 8.93, 3.75))
    letters = textured("letters", "noise", [(0.9, 0.75, 0.3), (0.7, 0.5, 0.15)], 10)
    lettering("name", "BAKERY 1907", 0.36, letters, (0.1, 8.88, 3.63))
    for k in range(9):
        hue = tuple(random.uniform(0.05, 0.8, 3))
        poster = textured(
            f"poster{k}", "voronoi", [hue, tuple(random.uniform(0.05, 0.8, 3)), (0.8, 0.8, 0.7)], 9, FRONT
        )
        box(f"poster{k}", (0.4, 0.02, 0.55), poster, (-3.4 + 0.47 * k if k < 4 else 1.0 + 0.47 * (k - 5), 8.97, 1.05))
    # What the windows reflect: the houses across the road, which no camera sees directly.
    across = textured("across", "brick", [(0.6, 0.5, 0.35), (0.3, 0.35, 0.4), (0.1, 0.1, 0.12)], 0.5, FRONT, glow=0.7)
    box("across", (40, 0.3, 7), across, (0, -9, 3.5))
    wood = textured("barrel", "wave", [(0.12, 0.06, 0.03), (0.4, 0.22, 0.1)], 9, roughness=0.5)
    iron = glossy("hoops", (0.12, 0.12, 0.13), 0.4, 1)
    _barrel("barrel", (2.55, 6.3, 0), 1.0, wood, iron)
    _barrel("barrel2", (3.3, 7.2, 0), 1.05, wood, iron)
    crate = textured("crate", "wave", [(0.45, 0.28, 0.12), (0.25, 0.14, 0.06)], 7, FRONT)
    box("crate", (0.8, 0.7, 0.7), crate, (1.4, 8.3, 0.35), (0, 0, 0.3))
    box("crate2", (0.6, 0.6, 0.5), crate, (1.45, 8.3, 0.95), (0, 0, -0.2))
    _car()
    pole = glossy("pole", (0.3, 0.3, 0.32), 0.35, 1)
    revolved("pole", [(0.035, 0), (0.035, 2.6)], pole, (3.6, 4.9, 0))
    plate = textured("plate", "checker", [(0.7, 0.05, 0.05), (0.85, 0.85, 0.8)], 4.9)
    disc("plate", 0.3, 0.02, plate, (3.6, 4.86, 2.3), (math.pi / 2, 0, 0))
    shirt = textured("shirt", "checker", [(0.1, 0.25, 0.6), (0.75, 0.7, 0.6)], 13)
    trousers = textured("trousers", "noise", [(0.1, 0.09, 0.07), (0.35, 0.3, 0.2)], 20)
    parts = figure(_people_materials(shirt, trousers))
    football = textured("football", "voronoi", [(0.85, 0.82, 0.75), (0.75, 0.1, 0.05), (0.05, 0.1, 0.5)], 8, grain=0.3)
    thrown = ball("ball", 0.17, football)

    def motion(t: float) -> dict[str, Any]:
        phase = 2 * math.pi * t / 14
        swing, back = math.sin(phase), math.cos(phase)
        root = placed((-2.0 + 0.135 * t, 5.7, HIP_HEIGHT - 0.02 + 0.02 * math.cos(2 * phase)), (0, 0, -math.pi / 2))
        angles = {
            "thigh.l": (0.45 * swing, 0, 0), "thigh.r": (-0.45 * swing, 0, 0),
            "shin.l": (-0.35 + 0.3 * back, 0, 0), "shin.r": (-0.35 - 0.3 * back, 0, 0),
            "arm.l": (-0.5 * swing, 0, 0), "arm.r": (0.5 * swing, 0, 0),
            "hand.l": (0.35, 0, 0), "hand.r": (0.35, 0, 0), "chest": (-0.06, 0, 0.08 * swing),
        }  # fmt: skip
        found = {f"figure.{name}": matrix for name, matrix in posed(root, angles).items()}
        fall = (t / 9 + 0.2) % 1
        height = 0.17 + 4 * 0.85 * fall * (1 - fall)
        found["ball"] = placed((-1.0 + 0.12 * t, 5.2, height), (0.1 * t, 0.25 * t, 0))
        return found

    labels = {one.name: 1 for one in parts.values()} | {thrown.name: 2}
    objects = [{"id": 1, "name": "person", "kind": "articulated"}, {"id": 2, "name": "ball", "kind": "rigid"}]
    return World(labels, objects, motion, (0, 7.0, 1.35))


def _car() -> None:
    """Parked at the left, close to the wall."""
    paint = glossy("paint", (0.35, 0.04, 0.03), 0.12, 0.3)
    glass = glossy("glass", (0.3, 0.32, 0.35), 0.02, 1)
    tyre = textured("tyre", "noise", [(0.015, 0.015, 0.015), (0.06, 0.06, 0.06)], 20)
    rim = glossy("rim", (0.5, 0.5, 0.52), 0.25, 1)
    x, y = -3.4, 7.5
    box("car.body", (3.6, 1.5, 0.55), paint, (x, y, 0.6))
    outline = np.array([(-1.15, 0.87), (-0.75, 1.4), (0.7, 1.4), (1.2, 0.87)])
    corners = [(px, py, pz) for py in (-0.7, 0.7) for px, pz in outline]
    sides = [(0, 1, 2, 3), (7, 6, 5, 4), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)]
    body("car.cabin", corners, sides, paint, (x, y, 0))
    for k, (left, right) in enumerate(((-0.93, -0.05), (0.05, 0.95))):
        low, high = 0.93, 1.33
        panes = [(left if k else left + 0.0, low), (right, low), (right if not k else right - 0.28, high),
                 (left + (0.28 if not k else 0), high)]  # fmt: skip
        body(f"car.glass{k}", [(px, -0.712, pz) for px, pz in panes], [(0, 1, 2, 3)], glass, (x, y, 0))
    for dx in (-1.15, 1.15):
        disc(f"car.tyre{dx}", 0.34, 0.22, tyre, (x + dx, y - 0.68, 0.34), (math.pi / 2, 0, 0))
        disc(f"car.rim{dx}", 0.2, 0.23, rim, (x + dx, y - 0.685, 0.34), (math.pi / 2, 0, 0))
    box("car.lamp", (0.06, 0.3, 0.16), glossy("lamp", (0.9, 0.85, 0.6), 0.1), (x + 1.8, y - 0.5, 0.68))
    stripe = textured("car.stripe", "checker", [(0.8, 0.8, 0.75), (0.1, 0.1, 0.1)], 9)
    box("car.stripe", (3.4, 0.02, 0.1), stripe, (x, y - 0.755, 0.5))
    lettering("car.text", "TAXI 42", 0.22, stripe, (x + 0.1, y - 0.76, 0.64))


# --- Yard ------------------------------------------------------------------------------------------------------------
def yard(random: np.random.Generator) -> World:
    """A cart rolls to the right behind a post and bars, a toy aeroplane flies to the left before it. Soft light."""
    _sky((0.75, 0.8, 0.9), 0.9)
    _sun(1.2, math.radians(25), (-0.4, 0.6, -0.9), (1, 0.95, 0.88))
    grass = textured("grass", "noise", [(0.05, 0.1, 0.02), (0.2, 0.28, 0.07), (0.1, 0.17, 0.03)], 7, grain=0.9)
    gravel = textured("gravel", "voronoi", [(0.4, 0.37, 0.32), (0.55, 0.5, 0.45), (0.25, 0.23, 0.2)], 14, grain=0.7)
    box("lawn", (50, 44, 0.2), grass, (0, 16, -0.1))
    box("path", (50, 1.8, 0.02), gravel, (0, 5.6, 0.005))
    clouds = textured(
        "clouds", "noise", [(0.3, 0.45, 0.75), (0.5, 0.62, 0.82), (0.9, 0.92, 0.95)], 0.12, grain=0, glow=0.8
    )
    box("sky", (90, 0.1, 40), clouds, (0, 30, 12)).visible_shadow = False
    hills = textured("hills", "noise", [(0.03, 0.07, 0.03), (0.14, 0.2, 0.1), (0.08, 0.1, 0.05)], 1.2, FRONT)
    for k in range(9):
        revolved(f"hill{k}", [(0, 1 + random.uniform(1, 3.2)), (2, 1.5), (4.5, -1)], hills,
                 (-20 + 5 * k, 27 - random.uniform(0, 2), 0))  # fmt: skip
    boards = textured("boards", "wave", [(0.4, 0.3, 0.2), (0.24, 0.17, 0.11), (0.5, 0.42, 0.3)], 3, SIDE, grain=0.8)
    for k in range(46):
        top = 1.25 + random.uniform(-0.06, 0.06)
        box(f"board{k}", (0.2, 0.03, top), boards, (-6.2 + 0.27 * k, 8.6 + random.uniform(-0.01, 0.01), top / 2))
    for z in (0.3, 0.95):
        box(f"rail{z}", (13, 0.05, 0.1), boards, (0, 8.65, z))
    leaf = textured("leaf", "voronoi", [(0.03, 0.09, 0.02), (0.12, 0.24, 0.05), (0.3, 0.38, 0.1)], 30, grain=0.6)
    core = textured("core", "noise", [(0.01, 0.03, 0.01), (0.04, 0.08, 0.02)], 10)
    for name, size, at in (("hedge", (2.2, 0.9, 1.3), (-3.6, 7.3, 0.65)), ("bush", (1.0, 0.9, 0.8), (3.7, 6.9, 0.4))):
        box(name, [0.9 * s for s in size], core, at)
        leaves(f"{name}.leaves", size, 5000, 0.035, leaf, at, random)
    bark = textured("bark", "noise", [(0.1, 0.07, 0.05), (0.3, 0.24, 0.17)], 6, stretch=(1, 1, 0.25), grain=0.8)
    revolved("trunk", [(0.34, 0), (0.25, 0.4), (0.2, 2.5), (0.16, 4.5)], bark, (-1.4, 9.8, 0))
    leaves("crown", (4, 2.5, 2.0), 5000, 0.09, leaf, (-1.4, 9.8, 4.0), random)
    shed = textured("shed", "brick", [(0.55, 0.5, 0.42), (0.42, 0.36, 0.3), (0.2, 0.17, 0.14)], 2.4, FRONT, grain=0.7)
    box("shed", (2.8, 1.6, 2.3), shed, (3.6, 10.5, 1.15))
    roof = textured("roof", "brick", [(0.4, 0.15, 0.1), (0.3, 0.1, 0.07), (0.12, 0.05, 0.04)], 4)
    box("roof", (3.2, 2.0, 0.12), roof, (3.6, 10.4, 2.42), (0.25, 0, 0))
    stone = textured("stone", "noise", [(0.35, 0.34, 0.32), (0.6, 0.58, 0.54)], 5, grain=0.8)
    for k in range(7):
        size = random.uniform(0.12, 0.3)
        made = ball(f"stone{k}", size, stone, (random.uniform(-3.5, 3.5), random.uniform(6.7, 8.2), 0.5 * size))
        made.scale.z = 0.7
    post = textured("post", "wave", [(0.5, 0.36, 0.2), (0.3, 0.2, 0.1)], 6, grain=0.7)
    box("post", (0.17, 0.17, 2.2), post, (-0.75, 4.5, 1.1))
    rod = glossy("rod", (0.05, 0.05, 0.06), 0.4, 1)
    for k in range(6):
        revolved(f"bar{k}", [(0.014, 0), (0.014, 1.15)], rod, (0.95 + 0.2 * k, 4.4, 0), segments=10)
    box("bar.top", (1.14, 0.04, 0.04), rod, (1.45, 4.4, 1.15))
    planks = textured("planks", "wave", [(0.65, 0.45, 0.12), (0.4, 0.22, 0.05)], 7, FRONT)
    trim = textured("trim", "checker", [(0.75, 0.1, 0.05), (0.85, 0.8, 0.7)], 8)
    tyre = textured("wheel", "checker", [(0.05, 0.05, 0.05), (0.5, 0.45, 0.3)], 7)
    box("cart.box", (0.95, 0.6, 0.42), planks)
    box("cart.rim", (1.03, 0.68, 0.08), trim)
    box(
        "cart.load",
        (0.5, 0.4, 0.3),
        textured("load", "voronoi", [(0.1, 0.2, 0.45), (0.6, 0.6, 0.55), (0.5, 0.2, 0.1)], 9),
    )
    for k in range(4):
        disc(f"cart.wheel{k}", 0.19, 0.07, tyre, (0, 0, 0))
    wing = textured("wing", "checker", [(0.8, 0.65, 0.1), (0.1, 0.12, 0.5)], 8)
    nose = textured("nose", "noise", [(0.6, 0.08, 0.05), (0.85, 0.3, 0.2)], 12)
    revolved("plane.body", [(0, 0.45), (0.06, 0.4), (0.085, 0.15), (0.06, -0.25), (0.02, -0.45), (0, -0.45)], nose)
    box("plane.wing", (0.95, 0.2, 0.02), wing)
    box("plane.tail", (0.36, 0.12, 0.015), wing)
    box("plane.fin", (0.015, 0.13, 0.16), nose)
    box("plane.propeller", (0.36, 0.015, 0.04), glossy("propeller", (0.08, 0.06, 0.05), 0.4))

    def motion(t: float) -> dict[str, Any]:
        x = -1.9 + 0.125 * t
        bump = 0.008 * math.sin(1.9 * t)
        cart = placed((x, 5.6, 0.44 + bump), (0.02 * math.sin(1.3 * t), 0.01 * math.sin(1.7 * t), 0.12))
        found = {"cart.box": cart, "cart.rim": cart @ placed((0, 0, 0.23)),
                 "cart.load": cart @ placed((0.05, 0, 0.32), (0, 0, 0.4))}  # fmt: skip
        for k, (dx, dy) in enumerate(((-0.3, -0.34), (0.3, -0.34), (-0.3, 0.34), (0.3, 0.34))):
            wheel = placed((0, 0, 0), (math.pi / 2, 0, 0))
            found[f"cart.wheel{k}"] = cart @ placed((dx, dy, -0.24), (0, 0.125 * t / 0.19, 0)) @ wheel
        flight = placed(
            (1.7 - 0.145 * t, 4.9, 1.75 + 0.28 * math.sin(0.28 * t)),
            (0.25 * math.cos(0.28 * t) * 0.6, 0.35 * math.sin(0.4 * t), math.pi / 2 + 0.15),
        )
        found |= {
            "plane.body": flight @ placed((0, 0, 0), (-math.pi / 2, 0, 0)),
            "plane.wing": flight @ placed((0, 0.12, 0.03)), "plane.tail": flight @ placed((0, -0.38, 0.02)),
            "plane.fin": flight @ placed((0, -0.38, 0.09)),
            "plane.propeller": flight @ placed((0, 0.46, 0), (0, 0.7 * t, 0)),
        }  # fmt: skip
        return found

    labels = {name: 1 if name.startswith("cart") else 2 for name in motion(0)}
    objects = [{"id": 1, "name": "cart", "kind": "articulated"}, {"id": 2, "name": "aeroplane", "kind": "articulated"}]
    return World(labels, objects, motion, (0, 7.0, 1.45))


# --- Room ------------------------------------------------------------------------------------------------------------
def room(random: np.random.Generator) -> World:
    """A person speaks with one arm, a fan turns on a table; a glossy floor and a mirror. Dim lamp light."""
    _sky((0.5, 0.6, 0.8), 0.03)
    _lamp((2.4, 5.7, 1.75), 75, 0.16, (1, 0.72, 0.42))
    _lamp((-1.8, 1.5, 2.6), 60, 0.5, (1, 0.8, 0.6))
    parquet = textured(
        "parquet", "brick", [(0.3, 0.17, 0.08), (0.42, 0.26, 0.13), (0.1, 0.05, 0.02)], 2.6, roughness=0.12
    )
    paper = textured("paper", "checker", [(0.34, 0.36, 0.3), (0.4, 0.4, 0.33)], 3.0, FRONT, grain=0.45)
    paper_side = textured("paper.side", "checker", [(0.34, 0.36, 0.3), (0.4, 0.4, 0.33)], 3.0, SIDE, grain=0.45)
    plaster = textured("plaster", "noise", [(0.6, 0.57, 0.5), (0.7, 0.67, 0.6)], 3)
    box("floor", (9, 12, 0.2), parquet, (0, 2, -0.1))
    box("back", (9, 0.2, 3.2), paper, (0, 7.1, 1.6))
    box("left", (0.2, 12, 3.2), paper_side, (-3.4, 2, 1.6))
    box("right", (0.2, 12, 3.2), paper_side, (3.7, 2, 1.6))
    box("behind", (9, 0.2, 3.2), paper, (0, -3.5, 1.6))
    box("ceiling", (9, 12, 0.2), plaster, (0, 2, 3.1))
    skirting = textured("skirting", "wave", [(0.25, 0.16, 0.1), (0.16, 0.1, 0.06)], 4, SIDE)
    box("skirting", (9, 0.05, 0.16), skirting, (0, 6.98, 0.08))
    frame = textured("frame", "wave", [(0.45, 0.3, 0.1), (0.25, 0.15, 0.05)], 10)
    box("mirror.frame", (1.3, 0.06, 1.7), frame, (0.75, 6.97, 1.55))
    box("mirror", (1.1, 0.02, 1.5), glossy("mirror", (0.85, 0.87, 0.87), 0.0, 1), (0.75, 6.935, 1.55))
    carpet = textured("carpet", "voronoi", [(0.3, 0.05, 0.05), (0.45, 0.3, 0.15), (0.1, 0.08, 0.2)], 6, grain=0.7)
    box("carpet", (3.0, 1.8, 0.015), carpet, (-0.6, 4.9, 0.008))
    for k, (x, z, w, h) in enumerate(((-2.4, 2.0, 0.8, 0.6), (-1.35, 1.75, 0.6, 0.8), (-0.45, 2.2, 0.5, 0.4),
                                      (2.15, 2.25, 0.9, 0.5))):  # fmt: skip
        colours = [tuple(random.uniform(0.05, 0.6, 3)) for _ in range(4)]
        box(f"picture{k}.frame", (w + 0.1, 0.04, h + 0.1), frame, (x, 6.98, z))
        art = textured(f"art{k}", ("voronoi", "noise", "wave", "voronoi")[k], colours, (6, 2, 5, 9)[k], FRONT)
        box(f"picture{k}", (w, 0.02, h), art, (x, 6.955, z))
    shelf = textured("shelf", "wave", [(0.22, 0.13, 0.07), (0.12, 0.07, 0.04)], 5, SIDE)
    for x in (-3.2, -2.0):
        box(f"shelf{x}", (0.05, 0.4, 1.3), shelf, (x, 6.75, 0.65))
    for level in range(4):
        box(f"board{level}", (1.2, 0.4, 0.04), shelf, (-2.6, 6.75, 0.04 + 0.42 * level))
        x = -3.13
        while x < -2.1 and level < 3:
            w, h = random.uniform(0.03, 0.08), random.uniform(0.22, 0.36)
            colours = [tuple(random.uniform(0.03, 0.5, 3)) for _ in range(2)]
            book = textured(f"book{level}{x:.2f}", "noise", colours, 12, stretch=(1, 1, 0.3))
            box(f"book{level}{x:.2f}", (w, 0.25, h), book, (x + w / 2, 6.72, 0.06 + 0.42 * level + h / 2))
            x += w + 0.006
    table = textured("table", "wave", [(0.32, 0.18, 0.08), (0.2, 0.1, 0.04)], 4, roughness=0.2)
    box("table", (1.3, 0.8, 0.05), table, (1.55, 5.0, 0.74))
    for dx in (-0.58, 0.58):
        for dy in (-0.33, 0.33):
            box(f"leg{dx}{dy}", (0.06, 0.06, 0.72), table, (1.55 + dx, 5.0 + dy, 0.36))
    iron = glossy("iron", (0.3, 0.3, 0.32), 0.3, 1)
    revolved("fan.foot", [(0, 0.03), (0.16, 0.02), (0.17, 0)], iron, (1.35, 4.95, 0.765))
    revolved("fan.stem", [(0.02, 0), (0.02, 0.36)], iron, (1.35, 5.0, 0.765))
    ball("fan.motor", 0.07, iron, (1.35, 4.98, 1.15))
    vase = textured("vase", "voronoi", [(0.1, 0.15, 0.35), (0.5, 0.5, 0.45), (0.2, 0.3, 0.5)], 18, roughness=0.2)
    revolved("vase", [(0, 0), (0.06, 0), (0.11, 0.12), (0.05, 0.26), (0.07, 0.32)], vase, (1.95, 5.05, 0.765))
    revolved("lamp.stem", [(0.14, 0), (0.14, 0.03), (0.02, 0.04), (0.02, 1.5)], iron, (2.4, 5.7, 0))
    revolved("lamp.shade", [(0.28, 1.55), (0.17, 1.95)], glowing("shade", (1.0, 0.75, 0.45), 1.6), (2.4, 5.7, 0))
    sofa = textured("sofa", "noise", [(0.14, 0.16, 0.2), (0.25, 0.27, 0.3)], 14, grain=0.6)
    box("sofa.seat", (1.5, 0.8, 0.42), sofa, (-0.9, 6.4, 0.21))
    box("sofa.back", (1.5, 0.2, 0.85), sofa, (-0.9, 6.8, 0.43))
    cushion = textured("cushion", "checker", [(0.5, 0.3, 0.1), (0.2, 0.1, 0.1)], 9)
    box("cushion", (0.4, 0.14, 0.4), cushion, (-0.35, 6.45, 0.63), (-0.3, 0, 0.2))
    blades = []
    for k, colour in enumerate(((0.5, 0.12, 0.08), (0.1, 0.25, 0.4), (0.55, 0.45, 0.12))):
        paint = textured(f"blade{k}", "noise", [colour, tuple(1.6 * c for c in colour)], 14, grain=0.6)
        outline = np.array([(0.02, 0), (0.26, -0.09), (0.32, 0.0), (0.27, 0.1), (0.06, 0.05)])
        a = 2 * math.pi * k / 3
        turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        flat = outline @ turn.T
        blades.append(body(f"fan.blade{k}", [(u, 0.03 * (j % 2), v) for j, (u, v) in enumerate(flat)],
                           [tuple(range(5))], paint))  # fmt: skip
    hub = revolved("fan.hub", [(0, 0.03), (0.05, 0.02), (0.05, -0.02)], iron)
    shirt = textured("shirt", "wave", [(0.28, 0.3, 0.22), (0.42, 0.4, 0.3)], 12, grain=0.5)
    trousers = textured("trousers", "noise", [(0.08, 0.09, 0.13), (0.17, 0.18, 0.24)], 20)
    parts = figure(_people_materials(shirt, trousers))

    def motion(t: float) -> dict[str, Any]:
        wave, slow = math.sin(2 * math.pi * t / 11), math.sin(2 * math.pi * t / 30)
        root = placed((-0.85, 4.9, HIP_HEIGHT), (0, 0, math.pi + 0.35))
        angles = {
            "chest": (0.012 * slow, 0.015 * slow, 0.02 * slow), "head": (0.05 * slow, 0, 0.12 * slow),
            "arm.l": (0.5 + 0.35 * slow, 1.0 + 0.4 * wave, 0), "hand.l": (0.9 - 0.5 * wave, 0.4 * wave, 0),
            "arm.r": (0.06 + 0.01 * slow, -0.08, 0), "hand.r": (0.15, 0, 0),
        }  # fmt: skip
        found = {f"figure.{name}": matrix for name, matrix in posed(root, angles).items()}
        fan = placed((1.35, 4.88, 1.15), (-0.1, math.radians(21) * t, 0.15))
        found |= {blade.name: fan for blade in blades}
        found[hub.name] = fan @ placed((0, 0, 0), (math.pi / 2, 0, 0))
        return found

    labels = {one.name: 1 for one in parts.values()} | {name: 2 for name in motion(0) if name.startswith("fan")}
    objects = [{"id": 1, "name": "person", "kind": "articulated"}, {"id": 2, "name": "fan", "kind": "rigid"}]
    return World(labels, objects, motion, (0, 6.0, 1.3), exposure=0.6)


WORLDS: dict[str, Callable[[np.random.Generator], World]] = {"street": street, "yard": yard, "room": room}
