// Lines over the picture: the path of the clip's camera, and where Gaussians come from (tracks).

const TRACKS = 150;      // at most, at a time
const CANDIDATES = 30000;  // moving Gaussians that are asked whether they are seen
const TRACK_FRAMES = 8;    // so far back a track reaches

class Lines {
  constructor(scene, views, size, distance) {
    Object.assign(this, {scene, views, size, distance, values: []});
    // A fixed order in which no two neighbours in space follow each other.
    const n = scene.moving, stride = Math.max(1, Math.floor(n * 0.618));
    this.candidates = [];
    for (let k = 0, i = 0; k < Math.min(n, CANDIDATES); k++, i = (i + stride + (k % 7)) % n) this.candidates.push(i);
  }

  line(a, b, colour, from = 1, to = from) {
    this.values.push(...a, ...colour, from, ...b, ...colour, to);
  }

  // The numbers that Renderer.render draws. `colours`: of the entries of the table of objects.
  at(time, {path, tracks}, colours, shown, ownCamera) {
    this.values = [];
    if (path) this.cameras(time, ownCamera);
    if (tracks) this.tracks(time, colours, shown);
    return new Float32Array(this.values);
  }

  cameras(time, ownCamera) {
    const grey = [0.55, 0.6, 0.68], bright = [1, 0.62, 0.15];
    for (let i = 1; i < this.views.length; i++) {
      const passed = i <= time;
      this.line(this.views[i - 1].pose.p, this.views[i].pose.p, passed ? bright : grey, 0.9);
    }
    const every = Math.max(1, Math.round(this.views.length / 8));
    for (let i = 0; i < this.views.length; i += every) this.frustum(this.views[i], grey, 0.6);
    if (!ownCamera) this.frustum(between(this.views, time), bright, 1, 1.6);
  }

  frustum({pose, lens}, colour, strength, scale = 1) {
    const depth = 0.08 * this.distance * scale, [w, h] = this.size;
    const corners = [[0, 0], [w, 0], [w, h], [0, h]].map(([u, v]) =>
      add(pose.p, turned(pose.q, [(u - lens[2]) / lens[0] * depth, (v - lens[3]) / lens[1] * depth, depth])));
    corners.forEach((corner, i) => {
      this.line(pose.p, corner, colour, strength);
      this.line(corner, corners[(i + 1) % 4], colour, strength);
    });
  }

  tracks(time, colours, shown) {
    const {scene} = this, stillCount = scene.count - scene.moving;
    let left = TRACKS;
    for (const m of this.candidates) {
      const entry = scene.object[stillCount + m];
      if (!shown[entry] || scene.opacity[stillCount + m] * spanOf(scene.middle[m], scene.width[m], time) < 0.2) continue;
      const start = Math.max(scene.first[m], time - TRACK_FRAMES), colour = entry > 1 ? colours[entry] : [0.3, 0.8, 1];
      const places = [];
      for (let t = time; t > start; t = t > Math.floor(t) ? Math.floor(t) : t - 1) places.push(this.place(m, t));
      places.push(this.place(m, start));
      for (let k = 1; k < places.length; k++) this.line(places[k - 1], places[k], colour, 1 - (k - 1) / TRACK_FRAMES, 1 - k / TRACK_FRAMES);
      if (--left === 0) break;
    }
  }

  place(m, time) {
    const out = [0, 0, 0];
    pathAt(this.scene, m, Math.max(time, this.scene.first[m]), out);
    return out;
  }
}

// The place of an entry of the table of objects over time: the mean of its Gaussians as they are seen.
function placeOf(scene, entry) {
  const members = [], stillCount = scene.count - scene.moving;
  for (let i = 0; i < scene.count; i++) if (scene.object[i] === entry) members.push(i);
  const every = Math.max(1, Math.floor(members.length / 20000)), chosen = members.filter((_, k) => k % every === 0);
  const known = [];  // by whole frame; between them it is linear, so that a camera that follows does not tremble
  const atFrame = (frame) => {
    let sum = [0, 0, 0], weight = 1e-9;
    const at = [0, 0, 0];
    for (const i of chosen) {
      const m = i - stillCount;
      if (m >= 0) pathAt(scene, m, frame, at);
      else for (let k = 0; k < 3; k++) at[k] = scene.position[3 * i + k];
      const w = scene.opacity[i] * (m >= 0 ? spanOf(scene.middle[m], scene.width[m], frame) : 1);
      sum = add(sum, times(at, w));
      weight += w;
    }
    return times(sum, 1 / weight);
  };
  return (time) => {
    const i = Math.floor(time), value = (frame) => (known[frame] ||= atFrame(frame));
    return time > i ? mix(value(i), value(i + 1), time - i) : value(i);
  };
}
