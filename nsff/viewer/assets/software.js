// Draws the scene without a graphics processor: workers draw some rows of the picture each (splatting.js). Where the
// browser has no WebGL2, or imitates it, this is several times as fast. It has the methods of Renderer.

const MOST_WORKERS = 4;

class SoftwareRenderer {
  constructor(canvas, packed, options, workerSource) {
    Object.assign(this, {canvas, options, context: canvas.getContext("2d", {alpha: false, willReadFrequently: true}), near: packed.scene.near, count: 0});
    this.targetMs = 80;
    this.workers = Array.from({length: clamp(navigator.hardwareConcurrency || 1, 1, MOST_WORKERS)}, () => {
      const worker = new Worker(workerSource);
      worker.postMessage({scene: packed.scene, covariance: packed.covariance(), texels: packed.texels});
      return worker;
    });
    this.shares = this.workers.map(() => 1 / this.workers.length);  // of the rows that each worker draws
    this.ticket = 0;
  }

  setObjects(entries) {
    this.entries = entries;
  }

  // Draws a state (App.state); resolves once it is there. Its picture is shown until that of the next one is.
  async order(state) {
    const {size: [width, height], view, time, layer, shown, background} = state, {options, entries} = this, begin = performance.now();
    const ends = [0];
    this.shares.forEach((share) => ends.push(Math.min(height, Math.round(ends[ends.length - 1] + share * height))));
    ends[ends.length - 1] = height;
    const ticket = ++this.ticket, parts = await Promise.all(this.workers.map((worker, i) => new Promise((done) => {
      worker.onmessage = ({data}) => done(data);
      worker.postMessage({ticket, picture: {
        view, time, shown, entries, background, size: state.size, top: ends[i], bottom: ends[i + 1],
        layer: LAYERS[layer], still: layer !== "moving", moves: layer !== "still", blur: blurOf(options, view.lens),
        compensate: options.compensate, depthRange: options.depthRange, speedScale: options.speedScale,
      }});
    })));
    this.parts = parts.map(({bytes}, i) => (bytes.length ? [new ImageData(bytes, width), ends[i]] : null)).filter(Boolean);
    this.balance(parts, ends, height);
    Object.assign(this, {state, count: Math.max(...parts.map(({drawn}) => drawn)), milliseconds: performance.now() - begin});
  }

  // Gives workers that took long fewer rows.
  balance(parts, ends, height) {
    const speeds = parts.map(({milliseconds}, i) => Math.max(ends[i + 1] - ends[i], 1) / Math.max(milliseconds, 0.5));
    const total = speeds.reduce((sum, speed) => sum + speed, 0);
    this.shares = this.shares.map((share, i) => Math.max(0.7 * share + 0.3 * speeds[i] / total, 1.5 / height));
  }

  // Shows the last picture, with lines over it: 7 numbers an end (place, colour).
  render(state, segments) {
    for (const [part, row] of this.parts) this.context.putImageData(part, 0, row);
    for (let i = 0; segments && i < segments.length; i += 14) this.line(state.view, segments, i);
  }

  line({rows, lens}, values, i) {
    const {context, near} = this;
    const ends = [i, i + 7].map((k) => rows.map((row) => dot(row, values.subarray(k, k + 3)) + row[3]));
    if (ends[0][2] > ends[1][2]) ends.reverse();
    if (ends[1][2] <= near) return;
    if (ends[0][2] < near) ends[0] = mix(ends[0], ends[1], (near - ends[0][2]) / (ends[1][2] - ends[0][2]));
    const [[x, y], [toX, toY]] = ends.map((v) => [lens[0] * v[0] / v[2] + lens[2], lens[1] * v[1] / v[2] + lens[3]]);
    const [red, green, blue] = [3, 4, 5].map((k) => Math.round(255 * values[i + k]));
    context.strokeStyle = `rgba(${red}, ${green}, ${blue}, ${(values[i + 6] + values[i + 13]) / 2})`;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(toX, toY);
    context.stroke();
  }

  finish() {}
}
