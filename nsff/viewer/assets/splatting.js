// Draws rows of a picture without a graphics processor. Runs in workers.
//
// The picture is that of shaders.js, whose letters it shares (tests compare both). Gaussians are drawn from front to
// back here, so that a pixel which is opaque costs nothing more.

const BORDER = 4;            // pixels beyond the rows within which centres are still looked at, beside their own reach

function rainbow(x) {
  const at = Math.min(Math.max(x, 0), 1);
  return [3, 2, 1].map((k) => Math.min(Math.max(1.5 - Math.abs(4 * at - k), 0), 1) * 0.9 + 0.05);
}

function wheel(x, y, strength) {
  const hue = Math.atan2(y, x) / (2 * Math.PI) + 0.5, s = Math.min(Math.max(strength, 0), 1);
  return [0, 2, 1].map((k) => {
    const turn = hue + k / 3;
    return 1 + (Math.min(Math.max(Math.abs((turn - Math.floor(turn)) * 6 - 3) - 1, 0), 1) - 1) * s;
  });
}

class Splatter {
  // `scene`: see sorting.js; `covariance`: 6 numbers a Gaussian (xx xy xz yy yz zz); `texels`: see packing.js, of which
  // the colours (texel 3) and the colours of features (texel 7) are read; `plain`: without WebAssembly.
  constructor({scene, covariance, texels, plain = false}) {
    Object.assign(this, {scene, covariance, texels, sorter: new Sorter(scene), kernel: new Kernel(plain)});
    this.colour = [0, 0, 0];
  }

  // Rows top … bottom - 1 of a picture of `size`, as RGBA bytes. `view`: {rows, lens, slopes}; `shown`: see Sorter.sort;
  // `layer`: as the shader numbers it; `entries`: [red, green, blue, shown, tint] for each entry of the table of objects.
  picture(request) {
    const {view: {rows, lens, slopes}, size: [width], top, bottom, time, shown, still, moves, background} = request;
    const limits = [slopes[0], (top - BORDER - lens[3]) / lens[1], (bottom + BORDER - lens[3]) / lens[1]];
    const order = this.sorter.sort({rows, slopes: limits, time, shown, still, moves});
    const pixels = width * (bottom - top);
    this.kernel.clear(pixels);
    this.drawAll(order, request);
    const {light} = this.kernel;
    const bytes = new Uint8ClampedArray(4 * pixels), [red, green, blue] = background.map((v) => 255 * v);
    for (let p = 0; p < light.length; p += 4) {
      const rest = light[p + 3];
      bytes[p] = 255 * light[p] + rest * red;
      bytes[p + 1] = 255 * light[p + 1] + rest * green;
      bytes[p + 2] = 255 * light[p + 2] + rest * blue;
      bytes[p + 3] = 255;
    }
    return {bytes, drawn: order.length};
  }

  // Where each Gaussian lies on the picture, as in PREPARE, from the nearest to the farthest.
  drawAll(order, request) {
    const {scene, covariance, colour} = this, {size, time, blur, compensate} = request, {rows, lens} = request.view;
    const [[a, b, c, d], [e, f, g, h], [p, q, r, s]] = rows, [fx, fy, cx, cy] = lens;
    const stillCount = scene.count - scene.moving, at = [0, 0, 0];
    const limitX = 1.3 * Math.max(cx, size[0] - cx) / fx, limitY = 1.3 * Math.max(cy, size[1] - cy) / fy;
    for (let k = order.length - 1; k >= 0; k--) {
      const i = order[k], m = i - stillCount;
      let opacity = scene.opacity[i], x, y, z;
      if (m >= 0) {
        opacity *= spanOf(scene.middle[m], scene.width[m], time);
        pathAt(scene, m, time, at);
        x = at[0]; y = at[1]; z = at[2];
      } else {
        x = scene.position[3 * i]; y = scene.position[3 * i + 1]; z = scene.position[3 * i + 2];
      }
      const vx = a * x + b * y + c * z + d, vy = e * x + f * y + g * z + h, vz = p * x + q * y + r * z + s;
      const slopeX = Math.min(Math.max(vx / vz, -limitX), limitX), slopeY = Math.min(Math.max(vy / vz, -limitY), limitY);
      // Rows of J W: how the picture's coordinates change with the world's.
      const sx = fx / vz, sy = fy / vz;
      const ux = sx * (a - slopeX * p), uy = sx * (b - slopeX * q), uz = sx * (c - slopeX * r);
      const wx = sy * (e - slopeY * p), wy = sy * (f - slopeY * q), wz = sy * (g - slopeY * r);
      const j = 6 * i, xx3 = covariance[j], xy3 = covariance[j + 1], xz3 = covariance[j + 2];
      const yy3 = covariance[j + 3], yz3 = covariance[j + 4], zz3 = covariance[j + 5];
      const tx = xx3 * ux + xy3 * uy + xz3 * uz, ty = xy3 * ux + yy3 * uy + yz3 * uz, tz = xz3 * ux + yz3 * uy + zz3 * uz;
      let xx = ux * tx + uy * ty + uz * tz, yy = wx * (xx3 * wx + 2 * (xy3 * wy + xz3 * wz)) + wy * (yy3 * wy + 2 * yz3 * wz) + zz3 * wz * wz;
      const xy = wx * tx + wy * ty + wz * tz, before = Math.max(xx * yy - xy * xy, 0);
      xx += blur;
      yy += blur;
      const area = xx * yy - xy * xy;
      if (compensate) opacity *= Math.sqrt(before / Math.max(area, 1e-12));
      if (!(opacity >= 1 / 255)) continue;
      this.colourOf(i, m, vz, request);
      this.drawOne(fx * vx / vz + cx, fy * vy / vz + cy, xx, xy, yy, area, opacity, colour, size[0], request.top, request.bottom);
    }
  }

  drawOne(x, y, xx, xy, yy, area, opacity, [red, green, blue], width, top, bottom) {
    const reach = 2 * Math.log(255 * opacity), high = Math.sqrt(reach * yy), wide = Math.sqrt(reach * xx);
    const first = Math.max(top, Math.ceil(y - high - 0.5)), last = Math.min(bottom - 1, Math.floor(y + high - 0.5));
    if (last < first || x + wide < 0 || x - wide > width) return;
    this.kernel.run(first, last, width, top, x, y, 1 / yy, yy / area, xy / yy, reach, opacity, red, green, blue);
  }

  // The colour of Gaussian i at depth z, moving number m or negative, as the layer shows it.
  colourOf(i, m, z, {layer, entries, view, time, depthRange, speedScale}) {
    const {scene, texels, colour} = this, own = texels[8 * i + (layer === 3 ? 7 : 3)], entry = entries[scene.object[i]];
    colour[0] = (own & 255) / 255;
    colour[1] = (own >> 8 & 255) / 255;
    colour[2] = (own >> 16 & 255) / 255;
    const grey = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
    let other = null;
    if (layer === 1) other = rainbow((1 / z - depthRange[0]) / (depthRange[1] - depthRange[0]));
    if (layer === 2) other = m >= 0 ? this.flowColour(m, time, view.rows, speedScale) : [0, 0, 0].fill(0.12 + 0.25 * grey);
    if (layer === 4) other = scene.object[i] > 1 ? entry : [0, 0, 0].fill(0.6 * grey);
    for (let k = 0; k < 3; k++) {
      const value = other ? other[k] : colour[k];
      colour[k] = value + (entry[k] - value) * entry[4];
    }
  }

  flowColour(m, time, rows, speedScale) {
    const from = [0, 0, 0], to = [0, 0, 0];
    pathAt(this.scene, m, time - 0.5, from);
    pathAt(this.scene, m, time + 0.5, to);
    const v = [0, 1, 2].map((k) => to[k] - from[k]), along = rows.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
    return wheel(along[0], along[1], Math.hypot(...along) * speedScale);
  }
}
