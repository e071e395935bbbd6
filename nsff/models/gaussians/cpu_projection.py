"""CPU kernels: Gaussians projected to a picture, and gradients carried back to what they were projected from.

Notation of nsff.models.gaussians.splats. With P = J V (2,3) and A = P R, the axes of a Gaussian on the picture are the
columns of B = A diag(s), and its covariance there is B Bᵀ + BLUR I. Arithmetic is in float64, whatever the arrays are.

- pose (3,4) = [V | t], float64; lens (12,): fx, fy, cx, cy, least x/z, least y/z, greatest x/z, greatest y/z, NEAR,
  FAR, BLUR, EXTENT; size: height and width.
- A row of ``shapes`` (G,8) is u, v, a, b, c, o, z, and the σ at which α is MIN_ALPHA.
- A row of ``boxes`` (G,4) is the range of pixels that the Gaussian reaches: first column, column after the last, first
  row, row after the last; all 0 where it is not drawn, and its shape is then undefined.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from nsff.models.gaussians.compiled import compiled

Array = np.ndarray


@compiled
def _axes(
    mean: Array, quaternion: Array, scale: Array, pose: Array, lens: Array,
    p: Array, q: Array, R: Array, J: Array, P: Array, A: Array, B: Array,
) -> bool:  # fmt: skip
    """Fills p (3,), in the camera; the unit quaternion q (4,); R (3,3); J, P, A and B (2,3). False where z is cut."""
    for i in range(3):
        p[i] = pose[i, 0] * mean[0] + pose[i, 1] * mean[1] + pose[i, 2] * mean[2] + pose[i, 3]
    if not lens[8] <= p[2] <= lens[9]:
        return False
    inverse = 1 / math.sqrt(quaternion[0] ** 2 + quaternion[1] ** 2 + quaternion[2] ** 2 + quaternion[3] ** 2)
    for i in range(4):
        q[i] = quaternion[i] * inverse
    w, x, y, z = q[0], q[1], q[2], q[3]
    R[0, 0], R[0, 1], R[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    R[1, 0], R[1, 1], R[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    R[2, 0], R[2, 1], R[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    for i in range(2):
        J[i, 0] = J[i, 1] = 0
        J[i, i] = lens[i] / p[2]
        J[i, 2] = -J[i, i] * min(max(p[i] / p[2], lens[4 + i]), lens[6 + i])
        for k in range(3):
            P[i, k] = J[i, i] * pose[i, k] + J[i, 2] * pose[2, k]
        for k in range(3):
            A[i, k] = P[i, 0] * R[0, k] + P[i, 1] * R[1, k] + P[i, 2] * R[2, k]
            B[i, k] = A[i, k] * scale[k]
    return True


@compiled
def project(
    share: int, shares: int,
    means: Float[Array, "G 3"], quaternions: Float[Array, "G 4"], scales: Float[Array, "G 3"],
    opacities: Float[Array, "G"], pose: Float64[Array, "3 4"], lens: Float64[Array, "12"],
    size: tuple[int, int], min_alpha: float, shapes: Float64[Array, "G 8"], boxes: Int32[Array, "G 4"],
) -> None:  # fmt: skip
    """Fills ``shapes`` (G,8) float64 and ``boxes`` (G,4) int32 (see the module)."""
    G = len(means)
    p, q, R = np.empty(3), np.empty(4), np.empty((3, 3))
    J, P, A, B = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    for g in range(share * G // shares, (share + 1) * G // shares):
        boxes[g, 0] = boxes[g, 1] = boxes[g, 2] = boxes[g, 3] = 0
        opacity = np.float64(opacities[g])
        if not opacity >= min_alpha:
            continue
        if not _axes(means[g], quaternions[g], scales[g], pose, lens, p, q, R, J, P, A, B):
            continue
        uu = B[0, 0] ** 2 + B[0, 1] ** 2 + B[0, 2] ** 2 + lens[10]
        uv = B[0, 0] * B[1, 0] + B[0, 1] * B[1, 1] + B[0, 2] * B[1, 2]
        vv = B[1, 0] ** 2 + B[1, 1] ** 2 + B[1, 2] ** 2 + lens[10]
        determinant = uu * vv - uv * uv
        if not 0 < determinant < math.inf:
            continue
        u, v = lens[0] * p[0] / p[2] + lens[2], lens[1] * p[1] / p[2] + lens[3]
        largest = math.log(opacity / min_alpha)
        extent = min(lens[11], math.sqrt(2 * largest))
        reach_u, reach_v = np.ceil(extent * math.sqrt(uu)), np.ceil(extent * math.sqrt(vv))
        if not (u + reach_u > 0 and u - reach_u < size[1] and v + reach_v > 0 and v - reach_v < size[0]):
            continue
        boxes[g, 0] = math.ceil(max(u - reach_u - 0.5, 0.0))
        boxes[g, 1] = math.floor(min(u + reach_u + 0.5, np.float64(size[1])))
        boxes[g, 2] = math.ceil(max(v - reach_v - 0.5, 0.0))
        boxes[g, 3] = math.floor(min(v + reach_v + 0.5, np.float64(size[0])))
        shapes[g, 0], shapes[g, 1] = u, v
        shapes[g, 2], shapes[g, 3], shapes[g, 4] = vv / determinant, -uv / determinant, uu / determinant
        shapes[g, 5], shapes[g, 6], shapes[g, 7] = opacity, p[2], largest


@compiled
def carry_back(
    share: int, shares: int,
    means: Float[Array, "G 3"], quaternions: Float[Array, "G 4"], scales: Float[Array, "G 3"],
    pose: Float64[Array, "3 4"], lens: Float64[Array, "12"], shapes: Float64[Array, "G 8"],
    rows: Float[Array, "E 7+C"], first_slot: Int64[Array, "G+1"], row_of_slot: Int64[Array, "E"],
    to_means: Float[Array, "G 3"], to_quaternions: Float[Array, "G 4"], to_scales: Float[Array, "G 3"],
    to_opacities: Float[Array, "G"], to_values: Float[Array, "G C"], to_pose: Float64[Array, "shares 3 4"],
) -> None:  # fmt: skip
    """Sums the gradients of every tile in which a Gaussian lies, in a fixed order, and carries them back.

    rows (E,7+C): gradients with respect to u, v, a, b, c, o, C values and z, one row for each Gaussian and tile; those
    of Gaussian g are row_of_slot[first_slot[g]:first_slot[g + 1]]. Fills the arrays ``to_*``, shaped as what they are
    gradients of but for to_pose (shares,3,4), whose sum over shares is the gradient.
    """
    G, C = len(means), to_values.shape[1]
    p, q, R, W = np.empty(3), np.empty(4), np.empty((3, 3)), np.empty((3, 3))
    J, P, A, B = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    v_p, v_B, v_P, v_J, total = np.empty(3), np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3)), np.empty(7 + C)
    for i in range(3):
        for k in range(4):
            to_pose[share, i, k] = 0
    for g in range(share * G // shares, (share + 1) * G // shares):
        total[:] = 0
        for slot in range(first_slot[g], first_slot[g + 1]):
            row = rows[row_of_slot[slot]]
            for k in range(7 + C):
                total[k] += row[k]
        to_opacities[g] = total[5]
        for k in range(C):
            to_values[g, k] = total[6 + k]
        if first_slot[g] == first_slot[g + 1]:
            for k in range(3):
                to_means[g, k] = to_scales[g, k] = to_quaternions[g, k] = 0
            to_quaternions[g, 3] = 0
            continue
        scale = scales[g]
        _axes(means[g], quaternions[g], scale, pose, lens, p, q, R, J, P, A, B)

        # The conic Q is the inverse of the covariance: gradients −Q v_Q Q, and 2 v_covariance B to B.
        a, b, c = shapes[g, 2], shapes[g, 3], shapes[g, 4]
        v_a, v_b, v_c = total[2], total[3] / 2, total[4]
        aa, ab = a * v_a + b * v_b, a * v_b + b * v_c
        ba, bb = b * v_a + c * v_b, b * v_b + c * v_c
        v_uu, v_uv, v_vv = -(aa * a + ab * b), -(aa * b + ab * c), -(ba * b + bb * c)
        for k in range(3):
            v_B[0, k] = 2 * (v_uu * B[0, k] + v_uv * B[1, k])
            v_B[1, k] = 2 * (v_uv * B[0, k] + v_vv * B[1, k])
            to_scales[g, k] = A[0, k] * v_B[0, k] + A[1, k] * v_B[1, k]
        for i in range(2):
            for k in range(3):
                v_P[i, k] = v_B[i, 0] * scale[0] * R[k, 0] + v_B[i, 1] * scale[1] * R[k, 1]
                v_P[i, k] += v_B[i, 2] * scale[2] * R[k, 2]
        for i in range(3):
            for k in range(3):
                W[i, k] = (P[0, i] * v_B[0, k] + P[1, i] * v_B[1, k]) * scale[k]  # gradient of R
        _to_quaternion(q, W, quaternions[g], to_quaternions[g])

        # The projection: (u, v), J and z as functions of p.
        v_p[2] = total[6 + C]
        for i in range(2):
            focal = lens[i]
            for k in range(3):
                v_J[i, k] = v_P[i, 0] * pose[k, 0] + v_P[i, 1] * pose[k, 1] + v_P[i, 2] * pose[k, 2]
            v_p[i] = total[i] * focal / p[2]
            v_p[2] -= (total[i] * p[i] + v_J[i, i]) * focal / p[2] ** 2
            if lens[4 + i] <= p[i] / p[2] <= lens[6 + i]:
                v_p[i] -= v_J[i, 2] * focal / p[2] ** 2
                v_p[2] -= 2 * v_J[i, 2] * J[i, 2] / p[2]
            else:
                v_p[2] -= v_J[i, 2] * J[i, 2] / p[2]
        for k in range(3):
            to_means[g, k] = pose[0, k] * v_p[0] + pose[1, k] * v_p[1] + pose[2, k] * v_p[2]
            for i in range(3):
                to_pose[share, i, k] += v_p[i] * means[g, k] + J[0, i] * v_P[0, k] + J[1, i] * v_P[1, k]
            to_pose[share, k, 3] += v_p[k]


@compiled
def _to_quaternion(q: Array, W: Array, quaternion: Array, result: Array) -> None:
    """Gradient with respect to a quaternion of any length, of its unit quaternion q and the gradient W of R(q)."""
    w, x, y, z = q[0], q[1], q[2], q[3]
    v_w = 2 * (x * (W[2, 1] - W[1, 2]) + y * (W[0, 2] - W[2, 0]) + z * (W[1, 0] - W[0, 1]))
    v_x = y * (W[0, 1] + W[1, 0]) + z * (W[0, 2] + W[2, 0]) + w * (W[2, 1] - W[1, 2]) - 2 * x * (W[1, 1] + W[2, 2])
    v_y = x * (W[0, 1] + W[1, 0]) + z * (W[1, 2] + W[2, 1]) + w * (W[0, 2] - W[2, 0]) - 2 * y * (W[0, 0] + W[2, 2])
    v_z = x * (W[0, 2] + W[2, 0]) + y * (W[1, 2] + W[2, 1]) + w * (W[1, 0] - W[0, 1]) - 2 * z * (W[0, 0] + W[1, 1])
    along = w * v_w + 2 * (x * v_x + y * v_y + z * v_z)
    length = math.sqrt(quaternion[0] ** 2 + quaternion[1] ** 2 + quaternion[2] ** 2 + quaternion[3] ** 2)
    result[0] = (v_w - along * w) / length
    result[1] = (2 * v_x - along * x) / length
    result[2] = (2 * v_y - along * y) / length
    result[3] = (2 * v_z - along * z) / length
