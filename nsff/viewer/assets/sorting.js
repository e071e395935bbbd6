// Where Gaussians are at a time, and their order from back to front. Runs in a worker and in tests.
//
// Arrays: `position` (3 numbers a Gaussian, of moving ones unused), then for the last `moving` Gaussians `first` and
// `length` (the frames of their path), `offset` (of its first point in `path`, 3 numbers a point), `middle` and `width`
// (the span of time in which they are seen, see spanOf).

const SMALLEST = 1 / 255;
const BINS = 65536;

function spanOf(middle, width, time) {
  // The share of its opacity that a Gaussian has at a time: a bell about `middle`; always 1 where the width is infinite.
  const d = (time - middle) / width;
  return Math.exp(-0.5 * d * d);
}

function pathAt(scene, m, time, out) {
  // Writes the position of moving Gaussian number m at a time to `out`: linear between frames, still beyond its path.
  const last = scene.length[m] - 1;
  const at = Math.min(Math.max(time - scene.first[m], 0), last);
  const i = Math.min(Math.floor(at), Math.max(last - 1, 0));
  const f = at - i, a = 3 * (scene.offset[m] + i), b = last > 0 ? a + 3 : a;
  for (let k = 0; k < 3; k++) out[k] = scene.path[a + k] + (scene.path[b + k] - scene.path[a + k]) * f;
}

class Sorter {
  constructor(scene) {
    this.scene = scene;
    this.keys = new Uint16Array(scene.count);
    this.depths = new Float32Array(scene.count);
    this.kept = new Uint32Array(scene.count);
    this.counts = new Uint32Array(BINS);
  }

  // The Gaussians that a view shows, farthest first. `rows`: the three rows [R | t] from the world to the camera;
  // `slopes`: the largest |x/z| that is seen, the smallest and the largest y/z; `shown`: one number an object and two layers, 0 where hidden.
  sort({rows, slopes, time, shown, still, moves}) {
    const {scene, kept, depths, keys, counts} = this;
    const [[a, b, c, d], [e, f, g, h], [p, q, r, s]] = rows;
    const at = [0, 0, 0];
    const stillCount = scene.count - scene.moving;
    let n = 0, low = Infinity, high = -Infinity;
    for (let i = 0; i < scene.count; i++) {
      const isMoving = i >= stillCount;
      if (!(isMoving ? moves : still) || !shown[scene.object[i]]) continue;
      let x, y, z;
      if (isMoving) {
        const m = i - stillCount;
        if (scene.opacity[i] * spanOf(scene.middle[m], scene.width[m], time) < SMALLEST) continue;
        pathAt(scene, m, time, at);
        [x, y, z] = at;
      } else {
        x = scene.position[3 * i]; y = scene.position[3 * i + 1]; z = scene.position[3 * i + 2];
      }
      const depth = p * x + q * y + r * z + s;
      const reach = 3 * scene.reach[i];
      if (!(depth > scene.near)) continue;
      if (Math.abs(a * x + b * y + c * z + d) > slopes[0] * depth + reach) continue;
      const down = e * x + f * y + g * z + h;
      if (down < slopes[1] * depth - reach || down > slopes[2] * depth + reach) continue;
      // Sorted by inverse depth: bins are fine where things are near.
      const key = 1 / depth;
      depths[n] = key;
      kept[n++] = i;
      if (key < low) low = key;
      if (key > high) high = key;
    }
    const scale = (BINS - 1) / Math.max(high - low, 1e-12);
    counts.fill(0);
    for (let k = 0; k < n; k++) {
      keys[k] = (depths[k] - low) * scale;
      counts[keys[k]]++;
    }
    for (let k = 0, sum = 0; k < BINS; k++) {
      const here = counts[k];
      counts[k] = sum;
      sum += here;
    }
    const order = new Uint32Array(n);
    for (let k = 0; k < n; k++) order[counts[keys[k]]++] = kept[k];
    return order;
  }
}
