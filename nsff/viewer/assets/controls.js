// Mouse, fingers and keys on the picture.

const FLY_KEYS = {
  KeyW: [0, 0, 1], KeyS: [0, 0, -1], KeyA: [-1, 0, 0], KeyD: [1, 0, 0], KeyQ: [0, 1, 0], KeyE: [0, -1, 0],
};

class Controls {
  // `app` has viewpoint, player, changed() and the actions by key (app.keys).
  constructor(app, surface) {
    Object.assign(this, {app, surface, pointers: new Map(), held: new Set(), fast: false});
    surface.addEventListener("pointerdown", (event) => this.down(event));
    surface.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) surface.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    surface.addEventListener("wheel", (event) => this.wheel(event), {passive: false});
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    surface.addEventListener("dblclick", () => app.clipCamera());
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("keyup", (event) => this.held.delete(event.code));
    addEventListener("blur", () => this.held.clear());
  }

  take() {
    const {viewpoint, player} = this.app;
    if (viewpoint.mode === "clip") viewpoint.takeOver(player.time);
    this.app.changed(true);
  }

  down(event) {
    this.surface.focus({preventScroll: true});
    this.surface.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY], {viewpoint} = this.app;
    const size = Math.min(this.surface.clientWidth, this.surface.clientHeight);
    const [dx, dy] = [(now[0] - before[0]) / size, (now[1] - before[1]) / size];
    if (!dx && !dy) return;
    this.take();
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const distance = (a) => Math.max(Math.hypot(a[0] - other[0], a[1] - other[1]), 1);
      viewpoint.approach(distance(before) / distance(now));
      viewpoint.move(-dx / 2, -dy / 2, 0);
    } else if (event.buttons & 6 || event.shiftKey) {
      viewpoint.move(-dx, -dy, 0);
    } else if (event.altKey) {
      viewpoint.look(dx * 1.5, dy * 1.5);
    } else {
      viewpoint.orbit(-dx * 2.2, dy * 2.2);
    }
    this.pointers.set(event.pointerId, now);
  }

  wheel(event) {
    event.preventDefault();
    this.take();
    const amount = clamp(event.deltaY * (event.deltaMode ? 20 : 1), -200, 200);
    if (event.ctrlKey) this.app.viewpoint.enlarge(Math.exp(-amount / 150));
    else this.app.viewpoint.approach(Math.exp(amount / 600));
  }

  key(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    this.fast = event.shiftKey;
    if (FLY_KEYS[event.code]) {
      this.held.add(event.code);
      this.app.changed(true);
      return;
    }
    const onButton = /^(BUTTON|SUMMARY|A)$/.test(event.target.tagName) && [" ", "Enter"].includes(event.key);
    const action = this.app.keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || onButton) return;
    event.preventDefault();
    action();
  }

  // Flies on by so many seconds; returns whether the camera moves.
  advance(seconds) {
    if (!this.held.size) return false;
    this.take();
    const step = Math.min(seconds, 0.2) * (this.fast ? 1.8 : 0.6);
    for (const code of this.held) this.app.viewpoint.move(...FLY_KEYS[code].map((v) => v * step));
    return true;
  }
}

const on = (id, event, action) => $(id).addEventListener(event, action);

// The buttons that both the page and the live viewer have: time and cameras.
function connectTime(app) {
  on("play", "click", () => app.toggle());
  on("time", "input", () => { app.player.playing = false; app.seek(Number($("time").value)); });
  on("speed", "change", () => { app.player.speed = Number($("speed").value); });
  on("loop", "change", () => { app.player.loop = $("loop").value; });
  on("clip-camera", "click", () => app.clipCamera());
  on("stop-before", "click", () => app.stop(-1));
  on("stop-after", "click", () => app.stop(1));
  on("overview", "click", () => app.overview());
}
