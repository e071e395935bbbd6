// Where the scene is looked at from: with the clip's camera, which goes with the time, or freely.

class Viewpoint {
  // `views`: the clip's cameras, each {pose, lens [fx, fy, cx, cy]} in pixels of pictures of `size` [width, height];
  // `distance`: what the camera turns about lies so far ahead.
  constructor(views, size, distance) {
    Object.assign(this, {views, size, distance, home: distance, zoom: 1, mode: "clip", follow: null, glide: null});
    this.up = unit(views.reduce((sum, view) => sub(sum, turned(view.pose.q, [0, 1, 0])), [0, 0, 0]));
    this.free = views[0];
  }

  // The view at a time, in the clip's pixels: {pose, lens}.
  at(time) {
    if (this.mode === "clip") return between(this.views, time);
    if (!this.follow) return this.free;
    return {...this.free, pose: {p: add(this.free.pose.p, sub(this.follow.place(time), this.follow.from)), q: this.free.pose.q}};
  }

  // The view for a picture of so many pixels, in which the clip's picture lies whole: {rows, lens, slopes, pose}.
  fitted(time, width, height) {
    const {pose, lens} = this.at(time), scale = Math.min(width / this.size[0], height / this.size[1]);
    const zoomed = scale * (this.mode === "clip" ? 1 : this.zoom);
    const fitted = [
      lens[0] * zoomed, lens[1] * zoomed,
      width / 2 + (lens[2] - this.size[0] / 2) * zoomed, height / 2 + (lens[3] - this.size[1] / 2) * zoomed,
    ];
    const [wide, high] = [width, height].map((side, k) => 1.15 * Math.max(fitted[2 + k], side - fitted[2 + k]) / fitted[k]);
    return {rows: matrixOfPose(pose), lens: fitted, slopes: [wide, -high, high], pose};
  }

  // Where the clip's picture lies on a picture of so many pixels: [left, top, width, height].
  frame(width, height) {
    const scale = Math.min(width / this.size[0], height / this.size[1]);
    const [w, h] = this.size.map((side) => side * scale);
    return [(width - w) / 2, (height - h) / 2, w, h];
  }

  followClip() {
    Object.assign(this, {mode: "clip", zoom: 1, distance: this.home});
    this.release();
  }

  // Lets go of the clip's camera and of what was followed, where the view is at a time.
  takeOver(time) {
    this.free = this.at(time);
    this.follow = null;
    this.mode = "free";
  }

  release() {
    this.follow = null;
  }

  place(view, distance = this.home) {
    this.release();
    Object.assign(this, {mode: "free", free: view, zoom: 1, distance});
  }

  // The camera goes along with what moves from now on; `place` gives its place at a time.
  goAlong(place, time) {
    this.takeOver(time);
    this.follow = {place, from: place(time)};
  }

  // Behind and above the first cameras, so that the camera's path and the scene are seen from outside.
  overview() {
    const middle = this.views[Math.floor(this.views.length / 2)];
    const forward = turned(middle.pose.q, [0, 0, 1]), target = add(middle.pose.p, times(forward, this.home));
    const side = turned(middle.pose.q, [1, 0, 0]);
    const eye = add(add(middle.pose.p, times(forward, -0.7 * this.home)), add(times(this.up, 0.45 * this.home), times(side, 0.35 * this.home)));
    this.place({pose: {p: eye, q: this.lookingAt(eye, target)}, lens: middle.lens}, norm(sub(target, eye)));
  }

  lookingAt(eye, target) {
    const z = unit(sub(target, eye)), x = unit(cross(z, this.up)), y = cross(z, x);
    return quaternionOf([0, 1, 2].map((i) => [x[i], y[i], z[i]]));
  }

  change(pose) {
    this.free = {...this.free, pose};
  }

  // Angles in radians; about the point ahead, the scene's up stays up.
  orbit(right, down) {
    const {p, q} = this.free.pose, pivot = add(p, times(turned(q, [0, 0, 1]), this.distance));
    const yaw = aroundAxis(this.up, -right), pitch = aroundAxis(turned(multiply(yaw, q), [1, 0, 0]), -down);
    const whole = multiply(pitch, yaw), level = Math.abs(dot(turned(multiply(whole, q), [0, 0, 1]), this.up));
    const turn = level > 0.98 ? yaw : whole;
    this.change({p: add(pivot, turned(turn, sub(p, pivot))), q: normalised(multiply(turn, q))});
  }

  look(right, down) {
    const {p, q} = this.free.pose;
    const yaw = aroundAxis(this.up, -right), level = multiply(yaw, q);
    this.change({p, q: normalised(multiply(aroundAxis(turned(level, [1, 0, 0]), -down), level))});
  }

  // In shares of the distance, along the camera's axes.
  move(right, down, forward) {
    const {p, q} = this.free.pose;
    this.change({p: add(p, times(turned(q, [right, down, forward]), this.distance)), q});
  }

  // Nearer to the point ahead, or away from it, by a factor.
  approach(factor) {
    const {p, q} = this.free.pose, next = clamp(this.distance * factor, 0.02 * this.home, 20 * this.home);
    this.change({p: add(p, times(turned(q, [0, 0, 1]), this.distance - next)), q});
    this.distance = next;
  }

  enlarge(factor) {
    this.zoom = clamp(this.zoom * factor, 0.3, 8);
  }
}
