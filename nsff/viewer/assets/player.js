// Time: plays the clip at any speed, back and forth, in a loop, or once.

class Player {
  constructor(frames, frameRate) {
    Object.assign(this, {last: frames - 1, frameRate, time: 0, speed: 1, loop: "bounce", playing: false, direction: 1});
  }

  seek(time) {
    this.time = clamp(time, 0, this.last);
  }

  toggle() {
    this.playing = !this.playing && this.last > 0;
    if (this.playing && this.loop === "once" && this.time >= this.last) this.time = 0;
    this.direction = 1;
  }

  step(frames) {
    this.playing = false;
    this.seek(Math.round(this.time) + frames);
  }

  // Goes on by so many seconds.
  advance(seconds) {
    if (!this.playing) return false;
    let next = this.time + this.direction * Math.min(seconds, 0.5) * this.frameRate * this.speed;
    if (next > this.last || next < 0) {
      if (this.loop === "bounce") {
        this.direction = next < 0 ? 1 : -1;
        next = next < 0 ? -next : 2 * this.last - next;
      } else if (this.loop === "loop") {
        next -= this.last;
      } else {
        this.playing = false;
      }
    }
    this.seek(next);
    return true;
  }
}
