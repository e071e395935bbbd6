// One ellipse onto the rows of a picture: the innermost loop of splatting.js, plain and as WebAssembly.
//
// Pixels are four floats: red, green, blue that came so far, and the share of light that what is behind still gives. An
// ellipse has its centre (x, y), 1 / yy (`flat`), within a row the bell of 1 / variance `narrow` about x + lean (row - y),
// and the squared distance `reach` at which it ends. Both forms read exp(-½ d²) from a table.

const DONE = 1 / 512;        // a pixel through which less light comes is opaque
const FALLOFF_END = 11.1;    // 2 ln 255, rounded up: beyond it less than 1/255 is left of any opacity
const FALLOFF_STEPS = 8192;
const FALLOFF_SCALE = FALLOFF_STEPS / FALLOFF_END;
const LIGHT_START = 65536;   // bytes of memory before the pixels, where the table lies

const PARAMETERS = "first i32 last i32 width i32 top i32 x f32 y f32 flat f32 narrow f32 lean f32 reach f32 opacity f32 red f32 green f32 blue f32";
const LOCALS = "row i32 column i32 to i32 at i32 dy f32 there f32 left f32 middle f32 half f32 start f32 step f32 dx f32 rest f32 pixel v128 colour v128";
const ROWS = `
  local.get red f32x4.splat local.get green f32x4.replace_lane_1 local.get blue f32x4.replace_lane_2
  f32.const -1 f32x4.replace_lane_3 local.set colour
  local.get narrow f32.const ${FALLOFF_SCALE} f32.mul local.set step
  local.get first local.set row
  block
  loop                                                    ;; each row
    local.get row local.get last i32.gt_s br_if 1
    block
      local.get row f32.convert_i32_s f32.const 0.5 f32.add local.get y f32.sub local.tee dy
      local.get dy f32.mul local.get flat f32.mul local.tee there
      f32.const ${FALLOFF_SCALE} f32.mul local.set start
      local.get reach local.get there f32.sub local.tee left
      f32.const 0 f32.le br_if 0
      local.get x local.get lean local.get dy f32.mul f32.add f32.const 0.5 f32.sub local.set middle
      local.get left local.get narrow f32.div f32.sqrt local.set half
      local.get middle local.get half f32.sub f32.ceil f32.const 0 f32.max i32.trunc_sat_f32_s local.set column
      local.get middle local.get half f32.add f32.floor
      local.get width i32.const 1 i32.sub f32.convert_i32_s f32.min i32.trunc_sat_f32_s local.set to
      local.get middle local.get half f32.add f32.const 0 f32.lt br_if 0
      local.get row local.get top i32.sub local.get width i32.mul local.get column i32.add
      i32.const 4 i32.shl i32.const ${LIGHT_START} i32.add local.set at
      local.get column f32.convert_i32_s local.get middle f32.sub local.set dx
      loop                                                ;; each pixel
        local.get column local.get to i32.gt_s br_if 1
        block
          local.get at v128.load local.tee pixel f32x4.extract_lane_3 local.tee rest
          f32.const ${DONE} f32.lt br_if 0
          local.get at
          local.get pixel local.get colour
          local.get dx local.get dx f32.mul local.get step f32.mul local.get start f32.add i32.trunc_sat_f32_s
          i32.const 2 i32.shl f32.load
          local.get opacity f32.mul local.get rest f32.mul f32x4.splat
          f32x4.mul f32x4.add v128.store
        end
        local.get at i32.const 16 i32.add local.set at
        local.get dx f32.const 1 f32.add local.set dx
        local.get column i32.const 1 i32.add local.set column
        br 0
      end
    end
    local.get row i32.const 1 i32.add local.set row
    br 0
  end
  end`;

// Pixels for so many rows and columns, and what draws on them.
class Kernel {
  constructor(plain = false) {
    this.memory = new WebAssembly.Memory({initial: 1});
    if (!plain) {
      try {
        const module = new WebAssembly.Module(assembled(PARAMETERS, LOCALS, ROWS));
        this.run = new WebAssembly.Instance(module, {env: {memory: this.memory}}).exports.run;
      } catch (error) {
        // A browser without vectors in WebAssembly: the plain form stays.
      }
    }
    this.clear(1);
  }

  // Room for so many pixels, with nothing drawn.
  clear(pixels) {
    const more = LIGHT_START + 16 * pixels - this.memory.buffer.byteLength;
    if (more > 0) this.memory.grow(Math.ceil(more / 65536));
    this.table = new Float32Array(this.memory.buffer, 0, FALLOFF_STEPS + 2);
    if (!this.table[0]) this.table.forEach((_, i) => (this.table[i] = Math.exp(-0.5 * (i + 0.5) / FALLOFF_SCALE)));
    this.light = new Float32Array(this.memory.buffer, LIGHT_START, 4 * pixels).fill(0);
    for (let p = 3; p < this.light.length; p += 4) this.light[p] = 1;
  }

  run(first, last, width, top, x, y, flat, narrow, lean, reach, opacity, red, green, blue) {
    const {light, table} = this, step = FALLOFF_SCALE * narrow;
    for (let row = first; row <= last; row++) {
      const dy = row + 0.5 - y, there = dy * dy * flat, left = reach - there;
      if (left <= 0) continue;
      const middle = x + lean * dy - 0.5, half = Math.sqrt(left / narrow), start = FALLOFF_SCALE * there;
      const from = Math.max(0, Math.ceil(middle - half)), to = Math.min(width - 1, Math.floor(middle + half));
      for (let column = from, at = 4 * ((row - top) * width + from); column <= to; column++, at += 4) {
        const rest = light[at + 3];
        if (rest < DONE) continue;
        const dx = column - middle, share = opacity * table[(start + step * dx * dx) | 0] * rest;
        light[at] += share * red;
        light[at + 1] += share * green;
        light[at + 2] += share * blue;
        light[at + 3] = rest - share;
      }
    }
  }
}
