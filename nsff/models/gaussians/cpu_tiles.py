"""CPU kernels: projected Gaussians composited front to back, tile by tile, and the gradients of that.

Notation of nsff.models.gaussians.splats; ``shapes`` and ``boxes`` as nsff.models.gaussians.cpu_projection makes them.
A picture is divided into tiles of ``tile`` × ``tile`` pixels, numbered along rows. Each Gaussian and tile that it
reaches are an entry; those of tile n are starts[n] to starts[n + 1], sorted by depth. cuts: (MAX_ALPHA,
MIN_TRANSMITTANCE). A tile is one thread's, and the order within is fixed: results never depend on the threads.

Nearly all time goes into the millions of pairs of a Gaussian and a pixel. Where there are four channels, as in
training, eight pixels of a row are therefore computed at once: loops over ``LANES`` without branches and without sums
over pixels, which the compiler turns into vector instructions. Their numbers stand in one array, ``state``: for each
row of eight pixels a few planes of eight, whose places are unsigned, which spares a test for negative ones. Arithmetic
is in the type of the values. ``four`` is (0, 1, 2, 3) where there are four channels and () elsewhere, since the
compiler knows the length of a tuple; more channels take so long themselves that their pixels are computed one by one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from nsff.models.gaussians.compiled import compiled

Array = np.ndarray
UINT = np.uint64
DIGITS = 11
"""Bits of a digit in sorting: three make 32."""
MOST_DIGIT = (1 << DIGITS) - 1
LANES = 8
"""Pixels of a row that are computed at once; tiles are a multiple of it."""
LOOK = 16
"""After every so many Gaussians of a tile it is asked whether anything lies open."""
FARTHEST = 6.0
"""σ beyond which α is below MIN_ALPHA for every opacity."""
FADING = tuple(
    np.polynomial.Chebyshev.interpolate(lambda s: np.exp(-s), 7, domain=(0, FARTHEST / 8))
    .convert(kind=np.polynomial.Polynomial)
    .coef.tolist()
)
"""Coefficients of exp(-σ / 8), to 1e-9 of it for exp(-σ)."""


@compiled
def by_depth(drawn: Int64[Array, "V"], z: Float64[Array, "V"]) -> Int64[Array, "V"]:
    """``drawn`` in the order of z, which is positive; equal ones stay in their order.

    Sorted by the digits of z as a float32, whose bits are ordered as positive numbers are, in three passes; then what
    float64 tells further changes places with its neighbours.
    """
    V, keys = len(z), z.astype(np.float32).view(np.uint32)
    order, other = np.arange(V), np.empty(V, np.int64)
    for shift in (0, DIGITS, 2 * DIGITS):
        places = np.zeros((1 << DIGITS) + 1, np.int64)
        for v in range(V):
            places[((keys[v] >> shift) & MOST_DIGIT) + 1] += 1
        for place in range(1 << DIGITS):
            places[place + 1] += places[place]
        for i in range(V):
            digit = (keys[order[i]] >> shift) & MOST_DIGIT
            other[places[digit]] = order[i]
            places[digit] += 1
        order, other = other, order
    for i in range(1, V):
        taken, j = order[i], i
        while j > 0 and z[order[j - 1]] > z[taken]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = taken
    return drawn[order]


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
def _fading(sigma: float, most: float, eighth: float, series: tuple[float, ...]) -> float:
    """exp(-σ) for 0 ≤ σ ≤ most, as the eighth power of a polynomial; for other σ a finite number."""
    c0, c1, c2, c3, c4, c5, c6, c7 = series
    s = (most if sigma > most else sigma) * eighth
    ss = s * s
    root = ((c0 + c1 * s) + (c2 + c3 * s) * ss) + ((c4 + c5 * s) + (c6 + c7 * s) * ss) * (ss * ss)
    square = root * root
    fourth = square * square
    return fourth * fourth


@compiled
def _sum(state: Array, plane: int) -> float:
    """The sum of eight numbers."""
    total = state[plane * LANES]
    for x in range(plane * LANES + 1, (plane + 1) * LANES):
        total += state[x]
    return total


@compiled
def _all_finished(state: Array, planes: int) -> bool:
    """Whether no pixel of a tile lets anything through."""
    for row in range(len(state) // (planes * LANES)):
        for x in range(LANES):
            if state[row * planes * LANES + x] > 0:
                return False
    return True


@compiled
def composite(
    share: int, shares: int, starts: Int64[Array, "tiles+1"], gaussian: Int32[Array, "E"],
    shapes: Float64[Array, "G 8"], boxes: Int32[Array, "G 4"], values: Float[Array, "G C"], four: tuple[int, ...],
    tile: int, columns: int, cuts: tuple[float, float], sums: Float[Array, "H W C+1"],
    transmittance: Float[Array, "H W"],
) -> None:  # fmt: skip
    """Fills sums (H,W,C+1), weighted values and z, and transmittance (H,W), what all Gaussians let through."""
    C, kind = values.shape[1], values.dtype.type
    max_alpha, min_transmittance = kind(cuts[0]), kind(cuts[1])
    zero, one, half, eighth, farthest = kind(0), kind(1), kind(0.5), kind(0.125), kind(FARTHEST)
    c0, c1, c2, c3, c4, c5, c6, c7 = FADING
    series = kind(c0), kind(c1), kind(c2), kind(c3), kind(c4), kind(c5), kind(c6), kind(c7)
    parts, planes = tile // LANES, 6 if len(four) == 4 else 1
    # Of eight pixels: what they let through, negative where they are finished; sums of four values and z.
    state = np.empty(parts * tile * planes * LANES, values.dtype)
    inside, f = np.empty((tile, tile, C + 1), values.dtype), np.zeros(max(C, 4), values.dtype)
    for n in range(share, len(starts) - 1, shares):
        top, left = n // columns * tile, n % columns * tile
        bottom, right = min(top + tile, sums.shape[0]), min(left + tile, sums.shape[1])
        state[:] = 0
        inside[:] = 0
        for part in range(parts):
            for y in range(tile):
                for x in range(LANES):
                    there = top + y < bottom and left + part * LANES + x < right
                    state[(part * tile + y) * planes * LANES + x] = 1 if there else -1
        for entry in range(starts[n], starts[n + 1]):
            if (entry - starts[n]) % LOOK == LOOK - 1 and _all_finished(state, planes):
                break
            g = gaussian[entry]
            shape = shapes[g]
            a, b, c, opacity, z, cut = (
                kind(shape[2]), kind(shape[3]), kind(shape[4]), kind(shape[5]), kind(shape[6]), kind(shape[7]),
            )  # fmt: skip
            for k in range(C):
                f[k] = values[g, k]
            f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
            for part in range(parts):
                begin = left + part * LANES
                if boxes[g, 0] >= begin + LANES or boxes[g, 1] <= begin:
                    continue
                du = kind(begin + 0.5 - shape[0])
                for y in range(max(top, boxes[g, 2]), min(bottom, boxes[g, 3])):
                    dy = kind(y + 0.5 - shape[1])
                    tilt, rest = b * dy, half * c * dy * dy
                    base = UINT((part * tile + y - top) * planes * LANES)
                    if len(four) == 4:
                        for x in range(UINT(LANES)):
                            at = base + x
                            dx = du + kind(x)
                            sigma = (half * a * dx + tilt) * dx + rest
                            T = state[at]
                            alpha = opacity * _fading(sigma, farthest, eighth, series)
                            alpha = max_alpha if alpha > max_alpha else alpha
                            alpha = alpha if (sigma >= zero) & (sigma <= cut) & (zero < T) else zero
                            weight, after = T * alpha, T * (one - alpha)
                            ends = (alpha > zero) & (after <= min_transmittance)
                            weight = zero if ends else weight
                            state[at] = -T if ends else after
                            state[at + UINT(LANES)] += weight * f0
                            state[at + UINT(2 * LANES)] += weight * f1
                            state[at + UINT(3 * LANES)] += weight * f2
                            state[at + UINT(4 * LANES)] += weight * f3
                            state[at + UINT(5 * LANES)] += weight * z
                        continue
                    for lane in range(LANES):
                        T, dx = state[base + UINT(lane)], du + kind(lane)
                        sigma = (half * a * dx + tilt) * dx + rest
                        if not (zero < T and zero <= sigma <= cut):
                            continue
                        alpha = min(max_alpha, opacity * _fading(sigma, farthest, eighth, series))
                        if T * (one - alpha) <= min_transmittance:
                            state[base + UINT(lane)] = -T
                            continue
                        state[base + UINT(lane)] = T * (one - alpha)
                        pixel, weight = inside[y - top, part * LANES + lane], T * alpha
                        for k in range(C):
                            pixel[k] += weight * f[k]
                        pixel[C] += weight * z
        for y in range(top, bottom):
            for x in range(left, right):
                part, lane = (x - left) // LANES, (x - left) % LANES
                place = (part * tile + y - top) * planes * LANES + lane
                transmittance[y, x] = abs(state[place])
                for k in range(C + 1):
                    sums[y, x, k] = state[place + (1 + k) * LANES] if len(four) == 4 else inside[y - top, x - left, k]


@compiled
def composite_back(
    share: int, shares: int, starts: Int64[Array, "tiles+1"], gaussian: Int32[Array, "E"],
    shapes: Float64[Array, "G 8"], boxes: Int32[Array, "G 4"], values: Float[Array, "G C"], four: tuple[int, ...],
    tile: int, columns: int, cuts: tuple[float, float], sums: Float[Array, "H W C+1"],
    transmittance: Float[Array, "H W"], to_sums: Float[Array, "H W C+1"], to_alpha: Float[Array, "H W"],
    rows: Float[Array, "E 7+C"],
) -> None:  # fmt: skip
    """Fills rows (E,7+C), zeros so far: gradients of entries with respect to u, v, a, b, c, o, C values and z.

    to_sums (H,W,C+1) and to_alpha (H,W): gradients of the loss with respect to the sums and alpha of ``composite``,
    whose results are also given. Front to back, as it was drawn: with f·g the product of a Gaussian's values and the
    pixel's gradients, dL/dα_i = T_i f_i·g − (Σ_{j>i} T_j α_j f_j·g − dL/dalpha T_end) / (1 − α_i).
    """
    C, kind = values.shape[1], values.dtype.type
    max_alpha, min_transmittance = kind(cuts[0]), kind(cuts[1])
    zero, one, half, eighth, farthest = kind(0), kind(1), kind(0.5), kind(0.125), kind(FARTHEST)
    c0, c1, c2, c3, c4, c5, c6, c7 = FADING
    series = kind(c0), kind(c1), kind(c2), kind(c3), kind(c4), kind(c5), kind(c6), kind(c7)
    parts, planes = tile // LANES, 7 if len(four) == 4 else 2
    lanes = UINT(tile // parts)
    # Of eight pixels: what they let through, as in ``composite``; the sum behind; the gradients of four sums and z.
    state = np.empty(parts * tile * planes * LANES, values.dtype)
    # Over the rows of a Gaussian, eight sums each: v_sigma times 1, dx, dx², dy, dx dy and dy²; of four values and z.
    totals = np.empty(11 * LANES, values.dtype)
    f, v_values = np.zeros(max(C, 4), values.dtype), np.empty(C + 1, values.dtype)
    for n in range(share, len(starts) - 1, shares):
        top, left = n // columns * tile, n % columns * tile
        bottom, right = min(top + tile, sums.shape[0]), min(left + tile, sums.shape[1])
        state[:] = 0
        for part in range(parts):
            for y in range(tile):
                for lane in range(LANES):
                    i, j = top + y, left + part * LANES + lane
                    place = (part * tile + y) * planes * LANES + lane
                    state[place] = -1
                    if i >= bottom or j >= right:
                        continue
                    state[place] = 1
                    rest = -np.float64(to_alpha[i, j]) * transmittance[i, j]
                    for k in range(C + 1):
                        if len(four) == 4:
                            state[place + (2 + k) * LANES] = to_sums[i, j, k]
                        rest += np.float64(sums[i, j, k]) * to_sums[i, j, k]
                    state[place + LANES] = rest
        for entry in range(starts[n], starts[n + 1]):
            if (entry - starts[n]) % LOOK == LOOK - 1 and _all_finished(state, planes):
                break
            g = gaussian[entry]
            shape = shapes[g]
            a, b, c, opacity, z, cut = (
                kind(shape[2]), kind(shape[3]), kind(shape[4]), kind(shape[5]), kind(shape[6]), kind(shape[7]),
            )  # fmt: skip
            for k in range(C):
                f[k] = values[g, k]
            f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
            totals[:] = 0
            v_values[:] = 0
            for part in range(parts):
                begin = left + part * LANES
                if boxes[g, 0] >= begin + LANES or boxes[g, 1] <= begin:
                    continue
                du = kind(begin + 0.5 - shape[0])
                for y in range(max(top, boxes[g, 2]), min(bottom, boxes[g, 3])):
                    dy = kind(y + 0.5 - shape[1])
                    tilt, square = b * dy, half * c * dy * dy
                    base = UINT((part * tile + y - top) * planes * LANES)
                    if len(four) == 4:
                        for x in range(lanes):
                            at = base + x
                            dx = du + kind(x)
                            sigma = (half * a * dx + tilt) * dx + square
                            T = state[at]
                            free = opacity * _fading(sigma, farthest, eighth, series)
                            alpha = max_alpha if free > max_alpha else free
                            alpha = alpha if (sigma >= zero) & (sigma <= cut) & (zero < T) else zero
                            weight, after = T * alpha, T * (one - alpha)
                            ends = (alpha > zero) & (after <= min_transmittance)
                            weight = zero if ends else weight
                            state[at] = -T if ends else after
                            to0, to1, to2 = (
                                state[at + UINT(2 * LANES)], state[at + UINT(3 * LANES)], state[at + UINT(4 * LANES)]
                            )  # fmt: skip
                            to3, to_z = state[at + UINT(5 * LANES)], state[at + UINT(6 * LANES)]
                            product = (f0 * to0 + f1 * to1) + (f2 * to2 + f3 * to3) + z * to_z
                            rest = state[at + UINT(LANES)] - weight * product
                            state[at + UINT(LANES)] = rest
                            v_alpha = T * product - rest / (one - alpha)
                            v_sigma = zero if ends | (free > max_alpha) else -alpha * v_alpha
                            along = v_sigma * dx
                            totals[x] += v_sigma
                            totals[x + UINT(LANES)] += along
                            totals[x + UINT(2 * LANES)] += along * dx
                            totals[x + UINT(3 * LANES)] += v_sigma * dy
                            totals[x + UINT(4 * LANES)] += along * dy
                            totals[x + UINT(5 * LANES)] += v_sigma * (dy * dy)
                            totals[x + UINT(6 * LANES)] += weight * to0
                            totals[x + UINT(7 * LANES)] += weight * to1
                            totals[x + UINT(8 * LANES)] += weight * to2
                            totals[x + UINT(9 * LANES)] += weight * to3
                            totals[x + UINT(10 * LANES)] += weight * to_z
                        continue
                    for lane in range(LANES):
                        at = base + UINT(lane)
                        T, dx = state[at], du + kind(lane)
                        sigma = (half * a * dx + tilt) * dx + square
                        if not (zero < T and zero <= sigma <= cut):
                            continue
                        free = opacity * _fading(sigma, farthest, eighth, series)
                        alpha = min(max_alpha, free)
                        if T * (one - alpha) <= min_transmittance:
                            state[at] = -T
                            continue
                        state[at] = T * (one - alpha)
                        to, weight = to_sums[y, begin + lane], T * alpha
                        product = z * to[C]
                        v_values[C] += weight * to[C]
                        for k in range(C):
                            product += f[k] * to[k]
                            v_values[k] += weight * to[k]
                        state[at + UINT(LANES)] -= weight * product
                        if free > max_alpha:
                            continue
                        v_sigma = -alpha * (T * product - state[at + UINT(LANES)] / (one - alpha))
                        totals[0] += v_sigma
                        totals[LANES] += v_sigma * dx
                        totals[2 * LANES] += v_sigma * dx * dx
                        totals[3 * LANES] += v_sigma * dy
                        totals[4 * LANES] += v_sigma * dx * dy
                        totals[5 * LANES] += v_sigma * dy * dy
            v, v_x, v_xx, v_y, v_xy, v_yy = (
                _sum(totals, 0), _sum(totals, 1), _sum(totals, 2), _sum(totals, 3), _sum(totals, 4), _sum(totals, 5)
            )  # fmt: skip
            row = rows[entry]
            row[0], row[1] = -(a * v_x + b * v_y), -(b * v_x + c * v_y)
            row[2], row[3], row[4], row[5] = half * v_xx, v_xy, half * v_yy, -v / opacity
            for k in range(C + 1):
                row[6 + k] = _sum(totals, 6 + k) if len(four) == 4 else v_values[k]
