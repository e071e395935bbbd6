// Draws the scene with WebGL2: Gaussians as ellipses from back to front, and lines over them.

const LAYERS = {all: 0, still: 0, moving: 0, depth: 1, flow: 2, features: 3, objects: 4};
const IMITATIONS = /swiftshader|llvmpipe|softpipe|software|basic render/i;

// How to draw: "gpu", or "cpu" where the browser has no WebGL2 or imitates it.
function drawingFor() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return "cpu";
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return IMITATIONS.test(name) ? "cpu" : "gpu";
}

// Gaussians were fitted with the blur of the clip's pixels: larger pictures have it as large, or gaps would show.
function blurOf({blur, focal}, lens) {
  return blur * Math.max(1, (lens[0] / focal) ** 2);
}

class Renderer {
  constructor(canvas, packed, options, workerSource) {
    const gl = canvas.getContext("webgl2", {alpha: false, antialias: false, depth: false, powerPreference: "high-performance"});
    if (!gl) throw new Error("This browser has no WebGL2.");
    Object.assign(this, {canvas, gl, packed, options, count: 0, targetMs: 45});
    this.worker = new Worker(workerSource);
    this.worker.postMessage({scene: packed.scene});
    this.prepare = this.program(WHOLE, PREPARE);
    this.draw = this.program(DRAW, DRAW_PIXELS);
    this.lines = this.program(LINES, LINE_PIXELS);
    this.textures = {
      gaussians: this.texture(packed.texels, gl.RGBA32UI, gl.RGBA_INTEGER, gl.UNSIGNED_INT),
      motions: this.texture(packed.motions, gl.RGBA32UI, gl.RGBA_INTEGER, gl.UNSIGNED_INT),
      paths: this.texture(packed.paths, gl.RGBA16UI, gl.RGBA_INTEGER, gl.UNSIGNED_SHORT),
      objects: gl.createTexture(),
    };
    this.nothing = gl.createVertexArray();
    this.makePrepared(packed.scene.count);
    this.segments = gl.createBuffer();
    this.segmentArray = gl.createVertexArray();
    gl.bindVertexArray(this.segmentArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.segments);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 28, 0);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 4, gl.FLOAT, false, 28, 12);
    gl.bindVertexArray(null);
  }

  // Room for the order, and for the ellipses and colours of so many Gaussians.
  makePrepared(count) {
    const {gl} = this, rows = Math.ceil(Math.max(count, 1) / TEXTURE_WIDTH);
    const empty = (internal) => {
      const texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texStorage2D(gl.TEXTURE_2D, 1, internal, TEXTURE_WIDTH, rows);
      this.plain();
      return texture;
    };
    this.textures.order = empty(gl.R32UI);
    this.prepared = {ellipses: empty(gl.RGBA32UI), colours: empty(gl.R32UI)};
    this.target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    Object.values(this.prepared).forEach((texture, i) =>
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, texture, 0));
    gl.drawBuffers([gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1]);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  program(vertex, fragment) {
    const {gl} = this, program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const uniforms = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const {name} = gl.getActiveUniform(program, i);
      uniforms[name] = gl.getUniformLocation(program, name);
    }
    return {program, uniforms};
  }

  texture(data, internal, format, type) {
    const {gl} = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, TEXTURE_WIDTH, data.length / 4 / TEXTURE_WIDTH, 0, format, type, data);
    this.plain();
    return texture;
  }

  plain() {
    const {gl} = this;
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    for (const way of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, way, gl.CLAMP_TO_EDGE);
  }

  // The table of objects: for each entry [red, green, blue, shown, tint], in [0, 1].
  setObjects(entries) {
    const {gl} = this, n = entries.length, data = new Uint8Array(8 * n);
    entries.forEach(([r, g, b, shown, tint], i) => {
      data.set([r, g, b, shown].map((v) => Math.round(v * 255)), 4 * i);
      data[4 * (n + i)] = Math.round(tint * 255);
    });
    gl.bindTexture(gl.TEXTURE_2D, this.textures.objects);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, n, 2, 0, gl.RGBA, gl.UNSIGNED_BYTE, data);
    this.plain();
  }

  // Sorts for a state (App.state); resolves once what is drawn is drawn in its order.
  async order({view: {rows, slopes}, time, layer, shown}) {
    const {order} = await new Promise((done) => {
      this.worker.onmessage = ({data}) => done(data);
      this.worker.postMessage({rows, slopes, time, shown, still: layer !== "moving", moves: layer !== "still"});
    });
    this.setOrder(order);
    this.time = time;
  }

  // Waits until the picture is there.
  finish() {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  setOrder(order) {
    const {gl} = this, whole = Math.floor(order.length / TEXTURE_WIDTH), rest = order.length % TEXTURE_WIDTH;
    gl.bindTexture(gl.TEXTURE_2D, this.textures.order);
    const upload = (row, width, rows, data) =>
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, row, width, rows, gl.RED_INTEGER, gl.UNSIGNED_INT, data);
    if (whole) upload(0, TEXTURE_WIDTH, whole, order.subarray(0, whole * TEXTURE_WIDTH));
    if (rest) upload(whole, rest, 1, order.subarray(whole * TEXTURE_WIDTH));
    this.count = order.length;
  }

  // Of the state `view`: {rows, lens [fx, fy, cx, cy] in pixels of the picture}; `segments`: 7 numbers an end (place, colour).
  render({view, layer, background}, segments) {
    // As of the time for which it was sorted: what is not yet seen then has no place in the order.
    const {time} = this;
    const {gl, canvas} = this;
    gl.disable(gl.BLEND);
    if (this.count) this.prepareAll(view, time, layer);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (this.count) {
      gl.useProgram(this.draw.program);
      this.useTextures(this.draw.uniforms, this.prepared);
      gl.bindVertexArray(this.nothing);
      gl.drawArrays(gl.TRIANGLES, 0, 3 * this.count);
    }
    if (segments && segments.length) {
      this.bind(this.lines, view);
      gl.bindVertexArray(this.segmentArray);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.segments);
      gl.bufferData(gl.ARRAY_BUFFER, segments, gl.STREAM_DRAW);
      gl.drawArrays(gl.LINES, 0, segments.length / 7);
    }
    gl.bindVertexArray(null);
  }

  prepareAll(view, time, layer) {
    const {gl, packed, options} = this, u = this.prepare.uniforms;
    this.bind(this.prepare, view);
    this.useTextures(u, this.textures);
    gl.uniform1i(u.count, this.count);
    gl.uniform1i(u.stillCount, packed.scene.count - packed.scene.moving);
    gl.uniform1f(u.time, time);
    gl.uniform3fv(u.pathLow, packed.pathLow);
    gl.uniform3fv(u.pathSize, packed.pathSize);
    gl.uniform1f(u.blur, blurOf(options, view.lens));
    gl.uniform1i(u.compensate, options.compensate ? 1 : 0);
    gl.uniform1i(u.layer, LAYERS[layer]);
    gl.uniform2fv(u.depthRange, options.depthRange);
    gl.uniform1f(u.speedScale, options.speedScale);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.viewport(0, 0, TEXTURE_WIDTH, Math.ceil(this.count / TEXTURE_WIDTH));
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  useTextures(uniforms, textures) {
    const {gl} = this;
    Object.entries(textures).forEach(([name, texture], i) => {
      gl.activeTexture(gl.TEXTURE0 + i);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(uniforms[name], i);
    });
    gl.activeTexture(gl.TEXTURE0);
  }

  bind({program, uniforms}, {rows, lens}) {
    const {gl} = this;
    gl.useProgram(program);
    const columns = [0, 1, 2].flatMap((k) => rows.map((row) => row[k]));
    gl.uniformMatrix3fv(uniforms.worldToCamera, false, columns);
    gl.uniform3fv(uniforms.translation, rows.map((row) => row[3]));
    gl.uniform4fv(uniforms.lens, lens);
    gl.uniform2f(uniforms.size, this.canvas.width, this.canvas.height);
    gl.uniform1f(uniforms.near, this.packed.scene.near);
  }
}
