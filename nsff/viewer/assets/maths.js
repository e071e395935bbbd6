// Vectors, rotations and cameras. World and camera axes are OpenCV's: x right, y down, z forward.
// A rotation is a quaternion [x, y, z, w] from the camera to the world; a pose is {p: centre, q: rotation}.

const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const times = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const norm = (a) => Math.hypot(a[0], a[1], a[2]);
const unit = (a) => times(a, 1 / Math.max(norm(a), 1e-12));
const mix = (a, b, f) => a.map((value, i) => value + (b[i] - value) * f);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function multiply(a, b) {
  // The quaternion of rotation b followed by a.
  return [
    a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
    a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
    a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
    a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
  ];
}

function turned(q, v) {
  // The vector v in world axes, given in the axes of q.
  const t = times(cross(q, v), 2);
  return add(add(v, times(t, q[3])), cross(q, t));
}

function aroundAxis(axis, angle) {
  const s = Math.sin(angle / 2);
  return [axis[0] * s, axis[1] * s, axis[2] * s, Math.cos(angle / 2)];
}

function matrixOf(q) {
  // Rows of the rotation matrix from the camera to the world.
  const [x, y, z, w] = q;
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
    [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
    [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
  ];
}

function quaternionOf(m) {
  // From the rows of a rotation matrix.
  const trace = m[0][0] + m[1][1] + m[2][2];
  let q;
  if (trace > 0) {
    const s = 2 * Math.sqrt(trace + 1);
    q = [(m[2][1] - m[1][2]) / s, (m[0][2] - m[2][0]) / s, (m[1][0] - m[0][1]) / s, s / 4];
  } else {
    const i = [0, 1, 2].reduce((best, k) => (m[k][k] > m[best][best] ? k : best), 0);
    const j = (i + 1) % 3, k = (i + 2) % 3;
    const s = 2 * Math.sqrt(Math.max(1 + m[i][i] - m[j][j] - m[k][k], 1e-12));
    q = [0, 0, 0, (m[k][j] - m[j][k]) / s];
    q[i] = s / 4;
    q[j] = (m[j][i] + m[i][j]) / s;
    q[k] = (m[k][i] + m[i][k]) / s;
  }
  return normalised(q);
}

function normalised(q) {
  const length = Math.hypot(...q);
  return q.map((value) => value / length);
}

function slerp(a, b, f) {
  // The rotation at fraction f of the way from a to b, along the shortest arc.
  let cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(cosine * sign, 1);
  const angle = Math.acos(cosine);
  if (angle < 1e-5) return normalised(mix(a, b.map((v) => v * sign), f));
  const s = Math.sin(angle), u = Math.sin((1 - f) * angle) / s, v = (Math.sin(f * angle) / s) * sign;
  return a.map((value, i) => value * u + b[i] * v);
}

function poseOfMatrix(worldToCamera) {
  // The pose of a camera given by the three rows [R | t] from the world to the camera.
  const m = worldToCamera;
  const rows = [0, 1, 2].map((i) => [m[0][i], m[1][i], m[2][i]]);
  const t = [m[0][3], m[1][3], m[2][3]];
  return {p: rows.map((row) => -dot(row, t)), q: quaternionOf(rows)};
}

function matrixOfPose(pose) {
  // The three rows [R | t] from the world to the camera.
  const m = matrixOf(pose.q);
  return [0, 1, 2].map((i) => {
    const row = [m[0][i], m[1][i], m[2][i]];
    return [...row, -dot(row, pose.p)];
  });
}

function between(views, at) {
  // The view at a position along a list of views: centres and lenses linearly, rotations along the shortest arc.
  const position = clamp(at, 0, views.length - 1);
  const i = Math.min(Math.floor(position), views.length - 2);
  if (views.length < 2) return views[0];
  const a = views[i], b = views[i + 1], f = position - i;
  return {
    pose: {p: mix(a.pose.p, b.pose.p, f), q: slerp(a.pose.q, b.pose.q, f)},
    lens: mix(a.lens, b.lens, f),
  };
}
