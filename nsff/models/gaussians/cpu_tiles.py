"""CPU kernels: projected Gaussians composited front to back, tile by tile, and the gradients of that.

Notation of nsff.models.gaussians.splats; ``shapes`` and ``boxes`` as nsff.models.gaussians.cpu_projection makes them.
A picture is divided into tiles of ``tile`` × ``tile`` pixels, numbered along rows. Each Gaussian and tile that it
reaches are an entry; those of tile n are starts[n] to starts[n + 1], sorted by depth. cuts: (MAX_ALPHA, MIN_ALPHA,
MIN_TRANSMITTANCE). A tile is one thread's, and the order within is fixed: results never depend on the threads.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from nsff.models.gaussians.compiled import compiled

Array = np.ndarray


@compiled
def list_entries(
    order: Int64[Array, "V"], boxes: Int32[Array, "G 4"], tile: int, rows: int, columns: int
) -> tuple[Int64[Array, "tiles+1"], Int32[Array, "E"], Int64[Array, "G+1"], Int64[Array, "E"]]:
    """Entries of rows × columns tiles, of Gaussians in the ``order`` (V,) of their depths.

    Returns starts (tiles + 1,); gaussian (E,) of each entry; first_slot (G + 1,) and entry_of_slot (E,): the entries of
    Gaussian g are entry_of_slot[first_slot[g]:first_slot[g + 1]], from its first tile to its last.
    """
    starts = np.zeros(rows * columns + 1, np.int64)
    first_slot = np.zeros(len(boxes) + 1, np.int64)
    for g in range(len(boxes)):
        count = 0
        if boxes[g, 1] > boxes[g, 0] and boxes[g, 3] > boxes[g, 2]:
            for i in range(boxes[g, 2] // tile, (boxes[g, 3] - 1) // tile + 1):
                for j in range(boxes[g, 0] // tile, (boxes[g, 1] - 1) // tile + 1):
                    starts[i * columns + j + 1] += 1
                    count += 1
        first_slot[g + 1] = first_slot[g] + count
    for n in range(rows * columns):
        starts[n + 1] += starts[n]
    following = starts[:-1].copy()
    gaussian = np.empty(starts[-1], np.int32)
    entry_of_slot = np.empty(starts[-1], np.int64)
    for g in order:
        slot = first_slot[g]
        if slot == first_slot[g + 1]:
            continue
        for i in range(boxes[g, 2] // tile, (boxes[g, 3] - 1) // tile + 1):
            for j in range(boxes[g, 0] // tile, (boxes[g, 1] - 1) // tile + 1):
                entry = following[i * columns + j]
                following[i * columns + j] = entry + 1
                gaussian[entry] = g
                entry_of_slot[slot] = entry
                slot += 1
    return starts, gaussian, first_slot, entry_of_slot


@compiled
def _ellipse(shape: Array) -> tuple[float, float, float]:
    """tilt, p, r of a Gaussian: in a row dy below its centre, α is MIN_ALPHA at u − tilt dy ± √(p − r dy²)."""
    a, b, c, inverse = shape[2], shape[3], shape[4], 1 / shape[2]
    return b * inverse, 2 * (shape[7] + 1e-6) * inverse, (a * c - b * b) * inverse * inverse


@compiled
def _span(u: float, dy: float, ellipse: tuple[float, float, float], first: int, last: int) -> tuple[int, int]:
    """Columns from ``first`` to before ``last`` whose centres are in the ellipse, in a row dy below its centre."""
    tilt, p, r = ellipse
    square = p - r * dy * dy
    if square < 0:
        return last, last
    middle, half = u - tilt * dy - 0.5, math.sqrt(square)
    left, right = max(middle - half, np.float64(first)), min(middle + half, np.float64(last - 1))
    first = int(left)
    return first + (first < left), int(max(right, -1.0)) + 1


@compiled
def composite(
    share: int, shares: int, starts: Int64[Array, "tiles+1"], gaussian: Int32[Array, "E"],
    shapes: Float64[Array, "G 8"], boxes: Int32[Array, "G 4"], values: Float[Array, "G C"], tile: int, columns: int,
    cuts: tuple[float, float, float], sums: Float[Array, "H W C+1"], transmittance: Float64[Array, "H W"],
) -> None:  # fmt: skip
    """Fills sums (H,W,C+1), weighted values and z, and transmittance (H,W) float64, what all Gaussians let through."""
    C = values.shape[1]
    max_alpha, min_alpha, min_transmittance = cuts
    for n in range(share, len(starts) - 1, shares):
        top, left = n // columns * tile, n % columns * tile
        bottom, right = min(top + tile, sums.shape[0]), min(left + tile, sums.shape[1])
        for y in range(top, bottom):
            for x in range(left, right):
                transmittance[y, x] = 1
                for k in range(C + 1):
                    sums[y, x, k] = 0
        open_pixels = (bottom - top) * (right - left)
        for entry in range(starts[n], starts[n + 1]):
            if open_pixels == 0:
                break
            g = gaussian[entry]
            shape = shapes[g]
            ellipse = _ellipse(shape)
            u, v, a, b, c, opacity, z = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
            for y in range(max(top, boxes[g, 2]), min(bottom, boxes[g, 3])):
                dy = y + 0.5 - v
                first, last = _span(u, dy, ellipse, max(left, boxes[g, 0]), min(right, boxes[g, 1]))
                for x in range(first, last):
                    T = transmittance[y, x]
                    if T < 0:  # finished, and its sign says so
                        continue
                    dx = x + 0.5 - u
                    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
                    alpha = min(max_alpha, opacity * math.exp(-sigma))
                    if sigma < 0 or alpha < min_alpha:
                        continue
                    if T * (1 - alpha) <= min_transmittance:
                        transmittance[y, x] = -T
                        open_pixels -= 1
                        continue
                    weight = T * alpha
                    for k in range(C):
                        sums[y, x, k] += weight * values[g, k]
                    sums[y, x, C] += weight * z
                    transmittance[y, x] = T * (1 - alpha)
        for y in range(top, bottom):
            for x in range(left, right):
                transmittance[y, x] = abs(transmittance[y, x])


@compiled
def composite_back(
    share: int, shares: int, starts: Int64[Array, "tiles+1"], gaussian: Int32[Array, "E"],
    shapes: Float64[Array, "G 8"], boxes: Int32[Array, "G 4"], values: Float[Array, "G C"], tile: int, columns: int,
    cuts: tuple[float, float, float], sums: Float[Array, "H W C+1"], transmittance: Float64[Array, "H W"],
    to_sums: Float[Array, "H W C+1"], to_alpha: Float[Array, "H W"], rows: Float[Array, "E 7+C"],
) -> None:  # fmt: skip
    """Fills rows (E,7+C), zeros so far: gradients of entries with respect to u, v, a, b, c, o, C values and z.

    to_sums (H,W,C+1) and to_alpha (H,W): gradients of the loss with respect to the sums and alpha of ``composite``,
    whose results are also given. Front to back, as it was drawn: with f·g the product of a Gaussian's values and the
    pixel's gradients, dL/dα_i = T_i f_i·g − (Σ_{j>i} T_j α_j f_j·g − dL/dalpha T_end) / (1 − α_i).
    """
    C = values.shape[1]
    max_alpha, min_alpha, min_transmittance = cuts
    T_before, behind = np.empty((tile, tile)), np.empty((tile, tile))
    v_values = np.empty(C + 1)
    for n in range(share, len(starts) - 1, shares):
        top, left = n // columns * tile, n % columns * tile
        bottom, right = min(top + tile, sums.shape[0]), min(left + tile, sums.shape[1])
        for y in range(top, bottom):
            for x in range(left, right):
                T_before[y - top, x - left] = 1
                rest = -to_alpha[y, x] * transmittance[y, x]
                for k in range(C + 1):
                    rest += np.float64(sums[y, x, k]) * to_sums[y, x, k]
                behind[y - top, x - left] = rest
        open_pixels = (bottom - top) * (right - left)
        for entry in range(starts[n], starts[n + 1]):
            if open_pixels == 0:
                break
            g = gaussian[entry]
            shape = shapes[g]
            ellipse = _ellipse(shape)
            u, v, a, b, c, opacity, z = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
            v_u = v_v = v_a = v_b = v_c = v_opacity = 0.0
            for k in range(C + 1):
                v_values[k] = 0
            for y in range(max(top, boxes[g, 2]), min(bottom, boxes[g, 3])):
                dy = y + 0.5 - v
                first, last = _span(u, dy, ellipse, max(left, boxes[g, 0]), min(right, boxes[g, 1]))
                for x in range(first, last):
                    T = T_before[y - top, x - left]
                    if T < 0:
                        continue
                    dx = x + 0.5 - u
                    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
                    vis = math.exp(-sigma)
                    alpha = min(max_alpha, opacity * vis)
                    if sigma < 0 or alpha < min_alpha:
                        continue
                    if T * (1 - alpha) <= min_transmittance:
                        T_before[y - top, x - left] = -T
                        open_pixels -= 1
                        continue
                    weight = T * alpha
                    product = z * to_sums[y, x, C]
                    v_values[C] += weight * to_sums[y, x, C]
                    for k in range(C):
                        product += values[g, k] * to_sums[y, x, k]
                        v_values[k] += weight * to_sums[y, x, k]
                    rest = behind[y - top, x - left] - weight * product
                    behind[y - top, x - left] = rest
                    T_before[y - top, x - left] = T * (1 - alpha)
                    if opacity * vis > max_alpha:
                        continue
                    v_alpha = T * product - rest / (1 - alpha)
                    v_opacity += vis * v_alpha
                    v_sigma = -alpha * v_alpha
                    v_a += 0.5 * v_sigma * dx * dx
                    v_b += v_sigma * dx * dy
                    v_c += 0.5 * v_sigma * dy * dy
                    v_u -= v_sigma * (a * dx + b * dy)
                    v_v -= v_sigma * (b * dx + c * dy)
            row = rows[entry]
            row[0], row[1], row[2], row[3], row[4], row[5] = v_u, v_v, v_a, v_b, v_c, v_opacity
            for k in range(C + 1):
                row[6 + k] = v_values[k]
