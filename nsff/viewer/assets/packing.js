// From the arrays of the scene file to those that the sorter and the graphics processor read.

const TEXTURE_WIDTH = 2048;

const floatBits = new Float32Array(1), intBits = new Uint32Array(floatBits.buffer);

function half(value) {
  // A float as the 16 bits of a half, rounded; values beyond its range become its largest or smallest.
  floatBits[0] = clamp(Math.abs(value), 6.2e-5, 65504) * (1 + 1 / 4096);
  const bits = intBits[0];
  return Math.min((((bits >> 23) - 112) << 10) | ((bits >> 13) & 1023), 0x7bff);
}

function packRotation(w, x, y, z) {
  // The three smaller components of a quaternion (scalar first in `parts`), ten bits each.
  const length = Math.hypot(x, y, z, w) || 1;
  const parts = [x / length, y / length, z / length, w / length];
  let left = 0;
  for (let i = 1; i < 4; i++) if (Math.abs(parts[i]) > Math.abs(parts[left])) left = i;
  const sign = parts[left] < 0 ? -1 : 1;
  let packed = left * 2 ** 30, shift = 1;
  for (let i = 0; i < 4; i++) {
    if (i === left) continue;
    packed += Math.round((clamp(parts[i] * sign / Math.SQRT1_2, -1, 1) * 0.5 + 0.5) * 1023) * shift;
    shift *= 1024;
  }
  return packed >>> 0;
}

// `content`: {still, moving}, each {count, means, quaternions (scalar first), scales, opacities, colours, objects,
// features or null}; moving ones also {reference, span, first, path, places}: so many places a path. Object numbers are
// counted from 0 (none) there; here the entries of the table of objects: 0 what rests and is no object, 1 what moves
// and is none, and from 2 on the objects in the order of `numbers`.
function packScene(content, numbers, near) {
  const {still, moving} = content;
  const count = still.count + moving.count, places = moving.places;
  const scene = {
    count, moving: moving.count, near,
    position: new Float32Array(3 * count), opacity: new Float32Array(count), reach: new Float32Array(count),
    object: new Uint16Array(count), first: new Float32Array(moving.count), length: new Uint16Array(moving.count),
    offset: new Uint32Array(moving.count), middle: moving.reference, width: moving.span, path: moving.path,
  };
  const entry = new Map(numbers.map((number, i) => [number, i + 2]));
  const texels = new Uint32Array(Math.ceil(2 * Math.max(count, 1) / TEXTURE_WIDTH) * TEXTURE_WIDTH * 4);
  const floats = new Float32Array(texels.buffer);
  let i = 0;
  for (const set of [still, moving]) {
    for (let k = 0; k < set.count; k++, i++) {
      const s = set.scales, c = set.colours, f = set.features || c, q = set.quaternions;
      scene.opacity[i] = set.opacities[k];
      scene.reach[i] = Math.max(s[3 * k], s[3 * k + 1], s[3 * k + 2]);
      scene.object[i] = entry.get(set.objects[k]) ?? (set === moving ? 1 : 0);
      const at = 8 * i, byte = (value) => Math.round(clamp(value, 0, 1) * 255);
      for (let j = 0; j < 3; j++) floats[at + j] = scene.position[3 * i + j] = set.means[3 * k + j];
      texels[at + 3] = byte(c[3 * k]) | byte(c[3 * k + 1]) << 8 | byte(c[3 * k + 2]) << 16 | byte(set.opacities[k]) << 24;
      texels[at + 4] = half(s[3 * k]) | half(s[3 * k + 1]) << 16;
      texels[at + 5] = half(s[3 * k + 2]) | scene.object[i] << 16;
      texels[at + 6] = packRotation(q[4 * k], q[4 * k + 1], q[4 * k + 2], q[4 * k + 3]);
      texels[at + 7] = byte(f[3 * k]) | byte(f[3 * k + 1]) << 8 | byte(f[3 * k + 2]) << 16;
    }
  }
  for (let m = 0; m < moving.count; m++) {
    scene.first[m] = moving.first[m];
    scene.length[m] = places;
    scene.offset[m] = m * places;
  }
  return {scene, texels, covariance: () => packCovariances(content), ...packPaths(scene)};
}

function packCovariances({still, moving}) {
  // For each Gaussian xx xy xz yy yz zz of R S² Rᵀ, in world axes.
  const result = new Float32Array(6 * (still.count + moving.count));
  let at = 0;
  for (const {count, quaternions, scales} of [still, moving]) {
    for (let k = 0; k < count; k++, at += 6) {
      const [w, x, y, z] = normalised(Array.from(quaternions.subarray(4 * k, 4 * k + 4)));
      const axes = matrixOf([x, y, z, w]).map((row) => row.map((value, j) => value * scales[3 * k + j]));
      [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]].forEach(([i, j], n) => (result[at + n] = dot(axes[i], axes[j])));
    }
  }
  return result;
}

function packPaths(scene) {
  // Paths as 16 bits within their box, and what is said of each moving Gaussian.
  const points = scene.path.length / 3, low = [Infinity, Infinity, Infinity], high = low.map((v) => -v);
  for (let i = 0; i < scene.path.length; i++) {
    const k = i % 3, value = scene.path[i];
    if (value < low[k]) low[k] = value;
    if (value > high[k]) high[k] = value;
  }
  const size = low.map((v, k) => (points ? Math.max(high[k] - v, 1e-9) : 1));
  const paths = new Uint16Array(Math.ceil(Math.max(points, 1) / TEXTURE_WIDTH) * TEXTURE_WIDTH * 4);
  for (let i = 0; i < points; i++) {
    for (let k = 0; k < 3; k++) paths[4 * i + k] = Math.round((scene.path[3 * i + k] - low[k]) / size[k] * 65535);
  }
  const motions = new Uint32Array(Math.ceil(Math.max(scene.moving, 1) / TEXTURE_WIDTH) * TEXTURE_WIDTH * 4);
  const floats = new Float32Array(motions.buffer);
  for (let m = 0; m < scene.moving; m++) {
    motions[4 * m] = scene.offset[m];
    motions[4 * m + 1] = (scene.first[m] & 0xffff) | scene.length[m] << 16;
    floats[4 * m + 2] = scene.middle[m];
    floats[4 * m + 3] = scene.width[m];
  }
  return {paths, motions, pathLow: points ? low : [0, 0, 0], pathSize: size};
}
