// WebAssembly from its text form, for one function: as much of it as kernel.js needs, so that no compiled file is kept.

const OPCODES = {
  "block": [0x02, 0x40], "loop": [0x03, 0x40], "end": [0x0b], "br": [0x0c], "br_if": [0x0d],
  "local.get": [0x20], "local.set": [0x21], "local.tee": [0x22], "f32.load": [0x2a, 0x02, 0x00], "i32.const": [0x41], "f32.const": [0x43],
  "i32.gt_s": [0x4a], "i32.add": [0x6a], "i32.sub": [0x6b], "i32.mul": [0x6c], "i32.shl": [0x74],
  "f32.lt": [0x5d], "f32.le": [0x5f], "f32.ceil": [0x8d], "f32.floor": [0x8e], "f32.sqrt": [0x91],
  "f32.add": [0x92], "f32.sub": [0x93], "f32.mul": [0x94], "f32.div": [0x95], "f32.min": [0x96], "f32.max": [0x97],
  "f32.convert_i32_s": [0xb2], "i32.trunc_sat_f32_s": [0xfc, 0x00],
  "v128.load": [0xfd, 0x00, 0x04, 0x00], "v128.store": [0xfd, 0x0b, 0x04, 0x00], "f32x4.splat": [0xfd, 0x13],
  "f32x4.extract_lane_3": [0xfd, 0x1f, 0x03], "f32x4.replace_lane_1": [0xfd, 0x20, 0x01],
  "f32x4.replace_lane_2": [0xfd, 0x20, 0x02], "f32x4.replace_lane_3": [0xfd, 0x20, 0x03],
  "f32x4.add": [0xfd, 0xe4, 0x01], "f32x4.mul": [0xfd, 0xe6, 0x01],
};
const TYPES = {i32: 0x7f, f32: 0x7d, v128: 0x7b};

function leb(value) {
  // A signed number in base 128, which also stands for an unsigned one.
  const bytes = [];
  for (;;) {
    const byte = value & 127;
    value >>= 7;
    const last = (value === 0 && !(byte & 64)) || (value === -1 && byte & 64);
    bytes.push(last ? byte : byte | 128);
    if (last) return bytes;
  }
}

function unsigned(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

// The function exported as "run", which uses the memory imported as "env.memory". `parameters` and `locals`: names and
// types, as in "x f32 y f32"; `text`: instructions, one after the other, blocks closed by "end".
function assembled(parameters, locals, text) {
  const pairs = (list) => list.trim().split(/\s+/).reduce((all, word, i, words) => (i % 2 ? all : [...all, [word, words[i + 1]]]), []);
  const given = pairs(parameters), own = pairs(locals), number = new Map([...given, ...own].map(([name], i) => [name, i]));
  const words = text.replace(/;;.*/g, "").trim().split(/\s+/), body = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (!OPCODES[word]) throw new Error(`unknown instruction ${word}`);
    body.push(...OPCODES[word]);
    if (word.startsWith("local.")) {
      if (!number.has(words[++i])) throw new Error(`unknown local ${words[i]}`);
      body.push(...unsigned(number.get(words[i])));
    } else if (word === "i32.const") body.push(...leb(Number(words[++i])));
    else if (word === "f32.const") body.push(...new Uint8Array(new Float32Array([Number(words[++i])]).buffer));
    else if (word.startsWith("br")) body.push(...unsigned(Number(words[++i])));
  }
  const vector = (items) => [...unsigned(items.length), ...items.flat()];
  const section = (id, content) => [id, ...unsigned(content.length), ...content];
  const name = (string) => vector([...string].map((letter) => letter.charCodeAt(0)));
  const code = [...vector(own.map(([, type]) => [1, TYPES[type]])), ...body, 0x0b];
  return new Uint8Array([
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    ...section(1, vector([[0x60, ...vector(given.map(([, type]) => [TYPES[type]])), 0x00]])),
    ...section(2, vector([[...name("env"), ...name("memory"), 0x02, 0x00, 0x01]])),
    ...section(3, vector([[0x00]])),
    ...section(7, vector([[...name("run"), 0x00, 0x00]])),
    ...section(10, vector([[...unsigned(code.length), ...code]])),
  ]);
}
