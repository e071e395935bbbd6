// Reads the compact file of Gaussians (docs/formats.md#compact-splats), which the page holds in base64.

const MAGIC = "NSFFSPL1";
const CHUNK = 64;  // Gaussians that share an origin and a step of their positions
const KINDS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array, float32: Float32Array,
};

function bytesOfBase64(text) {
  const binary = atob(text.trim()), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function decodeSplats(buffer) {
  // The content of an unpacked file: {frames, frameRate, names, still, moving}, see packScene.
  const start = new TextDecoder().decode(new Uint8Array(buffer, 0, 8));
  if (start !== MAGIC) throw new Error("The scene inside this page is damaged or of another version.");
  const length = new DataView(buffer).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 12, length)));
  const arrays = {};
  for (const [name, {type, shape, offset}] of Object.entries(header.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = new KINDS[type](buffer.slice(12 + length + offset, 12 + length + offset + count * KINDS[type].BYTES_PER_ELEMENT));
  }
  return {
    frames: header.n_frames, frameRate: header.frame_rate, names: header.objects,
    still: decodeSet(header.static, arrays, "static"), moving: decodeSet(header.moving, arrays, "moving"),
  };
}

function decodeSet(header, arrays, name) {
  const count = header.count, places = header.window, of = (key) => arrays[`${name}.${key}`];
  const path = decodePlaces(of, count, places);
  const set = {
    count, places, path, means: path,
    quaternions: rows(of("quaternions"), 4, count, (v) => v / 127),
    scales: rows(of("scales"), 3, count, (v) => Math.exp(header.log_scale[0] + header.log_scale[1] * v)),
    opacities: Float32Array.from(of("opacities"), (v) => v / 255),
    colours: rows(of("colours"), 3, count, (v) => v / 255),
    features: of("feature_colours") ? rows(of("feature_colours"), 3, count, (v) => v / 255) : null,
    objects: of("objects"),
  };
  if (name === "static") return set;
  set.reference = Float32Array.from(of("reference"), (v) => header.reference[0] + header.reference[1] * v);
  set.span = Float32Array.from(of("span"), (v) => Math.exp(header.log_span[0] + header.log_span[1] * v));
  set.first = of("first");
  set.means = new Float32Array(3 * count);
  return set;
}

function rows(values, n, count, convert) {
  // From one component after the other to one Gaussian after the other.
  const result = new Float32Array(n * count);
  for (let k = 0; k < n; k++) for (let i = 0; i < count; i++) result[n * i + k] = convert(values[k * count + i]);
  return result;
}

function decodePlaces(of, count, places) {
  // Positions (count × places × 3) on the grid of their chunk: each place is foretold from the two before it, and what
  // is missing stands in the file, in two bytes.
  const origin = of("chunk_origin"), step = of("chunk_step"), low = of("positions_low"), high = of("positions_high");
  const result = new Float32Array(3 * count * places);
  for (let k = 0; k < 3; k++) {
    for (let i = 0; i < count; i++) {
      const chunk = Math.floor(i / CHUNK);
      let before = 0, last = 0;  // q[w - 2] and q[w - 1]
      for (let w = 0; w < places; w++) {
        const at = (w * 3 + k) * count + i, foretold = w < 2 ? last : 2 * last - before;
        before = last;
        last = (low[at] + 256 * high[at] + foretold) & 0xffff;
        result[3 * (i * places + w) + k] = origin[3 * chunk + k] + step[chunk] * last;
      }
    }
  }
  return result;
}
