// The programs of the graphics processor.
//
// PREPARE runs once for each Gaussian, in sorted order, and writes to a texture where its ellipse lies on the picture and
// its colour. DRAW then reads that for the three corners of a triangle about the ellipse. So the costly part is done once,
// not for each corner. No instances are drawn: very many small ones are slow, with SwiftShader most of all.

const WHOLE = `#version 300 es
void main() {
  gl_Position = vec4(vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1)) * 4.0 - 1.0, 0.0, 1.0);
}`;

const PREPARE = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D order;      // numbers of Gaussians, the farthest first
uniform int count;
uniform usampler2D gaussians;  // two texels a Gaussian: [x y z colour], [scales object, rotation, feature colour]
uniform usampler2D motions;    // one texel a moving Gaussian: [offset, first (signed) and length in 16 bits each, middle, width]
uniform usampler2D paths;      // one texel a point of a path, 16 bits within pathLow .. pathLow + pathSize
uniform sampler2D objects;     // row 0: colour and whether shown; row 1: how much it is tinted
uniform int stillCount;
uniform float time;
uniform vec3 pathLow, pathSize;
uniform mat3 worldToCamera;
uniform vec3 translation;
uniform vec4 lens;             // focal lengths and principal point, pixels
uniform vec2 size;             // of the picture, pixels
uniform float near;
uniform float blur;            // variance that the pixel's own size adds
uniform bool compensate;       // keep the light of Gaussians smaller than a pixel
uniform int layer;             // 0 colours, 1 depth, 2 scene flow, 3 features, 4 objects
uniform vec2 depthRange;
uniform float speedScale;
layout(location = 0) out uvec4 ellipse;  // centre, half axes as pairs of halves; in clip space
layout(location = 1) out uint colour;

uvec4 texel(usampler2D data, int i) {
  int width = textureSize(data, 0).x;
  return texelFetch(data, ivec2(i % width, i / width), 0);
}

vec3 pathPoint(int i) {
  return pathLow + pathSize * vec3(texel(paths, i).xyz) / 65535.0;
}

vec3 onPath(uvec4 motion, float at) {
  int last = int(motion.y >> 16) - 1;
  float along = clamp(at - float(int(motion.y << 16) >> 16), 0.0, float(last));
  int i = min(int(along), max(last - 1, 0));
  vec3 a = pathPoint(int(motion.x) + i);
  return last > 0 ? mix(a, pathPoint(int(motion.x) + i + 1), along - float(i)) : a;
}

vec4 rotationOf(uint packed) {
  // The three smaller components in ten bits each, and which one is left out.
  int left = int(packed >> 30);
  vec3 small = (vec3(packed & 1023u, (packed >> 10) & 1023u, (packed >> 20) & 1023u) / 1023.0 * 2.0 - 1.0) * 0.70710678;
  float large = sqrt(max(0.0, 1.0 - dot(small, small)));
  if (left == 0) return vec4(large, small);
  if (left == 1) return vec4(small.x, large, small.yz);
  if (left == 2) return vec4(small.xy, large, small.z);
  return vec4(small, large);
}

vec3 bytes(uint packed) {
  return vec3(packed & 255u, (packed >> 8) & 255u, (packed >> 16) & 255u) / 255.0;
}

vec3 rainbow(float x) {
  // From blue (far) over green and yellow to red (near).
  x = clamp(x, 0.0, 1.0);
  return clamp(1.5 - abs(4.0 * x - vec3(3.0, 2.0, 1.0)), 0.0, 1.0) * 0.9 + 0.05;
}

vec3 wheel(vec2 direction, float strength) {
  float hue = atan(direction.y, direction.x) / 6.2831853 + 0.5;
  vec3 pure = clamp(abs(fract(hue + vec3(0.0, 2.0, 1.0) / 3.0) * 6.0 - 3.0) - 1.0, 0.0, 1.0);
  return mix(vec3(1.0), pure, clamp(strength, 0.0, 1.0));
}

void main() {
  ellipse = uvec4(0u);
  colour = 0u;
  int place = int(gl_FragCoord.y) * textureSize(order, 0).x + int(gl_FragCoord.x);
  if (place >= count) return;
  int index = int(texel(order, place).x);
  uvec4 first = texel(gaussians, 2 * index), second = texel(gaussians, 2 * index + 1);
  vec3 world = uintBitsToFloat(first.xyz);
  float opacity = float(first.w >> 24) / 255.0;
  vec3 rgb = bytes(first.w);
  int object = int(second.y >> 16);
  bool moving = index >= stillCount;
  vec3 velocity = vec3(0.0);
  if (moving) {
    uvec4 motion = texel(motions, index - stillCount);
    world = onPath(motion, time);
    float d = (time - uintBitsToFloat(motion.z)) / uintBitsToFloat(motion.w);
    opacity *= exp(-0.5 * d * d);
    if (layer == 2) velocity = worldToCamera * (onPath(motion, time + 0.5) - onPath(motion, time - 0.5));
  }
  vec4 style = texelFetch(objects, ivec2(object, 0), 0);
  opacity *= style.a;
  vec3 v = worldToCamera * world + translation;

  if (v.z < near || opacity < 1.0 / 255.0) return;

  vec2 limit = 1.3 * max(lens.zw, size - lens.zw) / lens.xy;
  vec2 slope = clamp(v.xy / v.z, -limit, limit);
  vec4 q = rotationOf(second.z);
  vec3 s = vec3(unpackHalf2x16(second.x), unpackHalf2x16(second.y).x);
  mat3 turn = mat3(
    1.0 - 2.0 * (q.y * q.y + q.z * q.z), 2.0 * (q.x * q.y + q.z * q.w), 2.0 * (q.x * q.z - q.y * q.w),
    2.0 * (q.x * q.y - q.z * q.w), 1.0 - 2.0 * (q.x * q.x + q.z * q.z), 2.0 * (q.y * q.z + q.x * q.w),
    2.0 * (q.x * q.z + q.y * q.w), 2.0 * (q.y * q.z - q.x * q.w), 1.0 - 2.0 * (q.x * q.x + q.y * q.y));
  mat3 shape = worldToCamera * mat3(turn[0] * s.x, turn[1] * s.y, turn[2] * s.z);
  vec3 rowX = vec3(lens.x / v.z, 0.0, -lens.x * slope.x / v.z);
  vec3 rowY = vec3(0.0, lens.y / v.z, -lens.y * slope.y / v.z);
  vec3 u = rowX * shape, w = rowY * shape;
  float xx = dot(u, u), xy = dot(u, w), yy = dot(w, w);
  float before = max(xx * yy - xy * xy, 0.0);
  xx += blur;
  yy += blur;
  if (compensate) opacity *= sqrt(before / max(xx * yy - xy * xy, 1e-12));
  if (opacity < 1.0 / 255.0) return;
  float middle = 0.5 * (xx + yy), spread = length(vec2(0.5 * (xx - yy), xy));
  float large = middle + spread, small = max(middle - spread, 0.05);
  vec2 along = spread < 1e-6 ? vec2(1.0, 0.0) : normalize(vec2(xy, large - xx));
  if (abs(xy) < 1e-9) along = xx >= yy ? vec2(1.0, 0.0) : vec2(0.0, 1.0);
  // The ellipse ends where less than 1/255 of the light is left.
  float reach = sqrt(2.0 * log(255.0 * opacity));
  vec2 major = along * min(sqrt(large), 512.0) * reach, minor = vec2(-along.y, along.x) * sqrt(small) * reach;
  vec2 toClip = vec2(2.0, -2.0) / size;
  vec2 centre = (lens.xy * v.xy / v.z + lens.zw) * toClip + vec2(-1.0, 1.0);
  ellipse = uvec4(floatBitsToUint(centre), packHalf2x16(major * toClip), packHalf2x16(minor * toClip));

  float near01 = (1.0 / v.z - depthRange.x) / (depthRange.y - depthRange.x);
  if (layer == 1) rgb = rainbow(near01);
  if (layer == 2) {
    float strength = length(velocity) * speedScale;
    rgb = moving ? wheel(velocity.xy, strength) : vec3(0.12 + 0.25 * dot(rgb, vec3(0.3, 0.59, 0.11)));
  }
  if (layer == 3) rgb = bytes(second.w);
  if (layer == 4) rgb = object > 1 ? style.rgb : vec3(dot(rgb, vec3(0.3, 0.59, 0.11)) * 0.6);
  rgb = mix(rgb, style.rgb, texelFetch(objects, ivec2(object, 1), 0).r);
  uvec4 packed = uvec4(round(vec4(rgb, opacity) * 255.0));
  colour = packed.x | packed.y << 8 | packed.z << 16 | packed.w << 24;
}`;

const DRAW = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D ellipses, colours;
out vec2 at;
flat out vec4 light;
flat out float steepness;
void main() {
  int i = gl_VertexID / 3, corner = gl_VertexID - 3 * i, width = textureSize(ellipses, 0).x;
  ivec2 place = ivec2(i % width, i / width);
  uvec4 ellipse = texelFetch(ellipses, place, 0);
  uint colour = texelFetch(colours, place, 0).x;
  at = corner == 0 ? vec2(0.0, 2.0) : vec2(corner == 1 ? -1.7320508 : 1.7320508, -1.0);
  light = vec4(colour & 255u, (colour >> 8) & 255u, (colour >> 16) & 255u, colour >> 24) / 255.0;
  steepness = -log2(255.0 * max(light.a, 1.0 / 255.0));
  vec2 shift = at.x * unpackHalf2x16(ellipse.z) + at.y * unpackHalf2x16(ellipse.w);
  gl_Position = colour == 0u ? vec4(0.0, 0.0, 2.0, 1.0) : vec4(uintBitsToFloat(ellipse.xy) + shift, 0.0, 1.0);
}`;

const DRAW_PIXELS = `#version 300 es
precision mediump float;
in vec2 at;
flat in vec4 light;
flat in float steepness;
out vec4 result;
void main() {
  float r = dot(at, at);
  if (r > 1.0) discard;
  float alpha = light.a * exp2(steepness * r);
  result = vec4(light.rgb * alpha, alpha);
}`;

const LINES = `#version 300 es
precision highp float;
layout(location = 0) in vec3 position;
layout(location = 1) in vec4 colour;
uniform mat3 worldToCamera;
uniform vec3 translation;
uniform vec4 lens;
uniform vec2 size;
uniform float near;
out vec4 light;
void main() {
  vec3 v = worldToCamera * position + translation;
  vec2 toClip = vec2(2.0, -2.0) / size;
  vec2 flat2 = (lens.xy * v.xy + lens.zw * v.z) * toClip + vec2(-1.0, 1.0) * v.z;
  gl_Position = vec4(flat2, v.z - 2.0 * near, v.z);
  light = colour;
}`;

const LINE_PIXELS = `#version 300 es
precision mediump float;
in vec4 light;
out vec4 result;
void main() { result = vec4(light.rgb * light.a, light.a); }`;
