// The live viewer: the server draws what the camera sees; pictures are small while the view changes, whole at rest.

const $ = (id) => document.getElementById(id);
const TARGET_MS = 120;      // a picture may take so long while the view changes
const STILL_MS = 250;       // after so long without change it is asked for in full size
const SMALLEST_SCALE = 0.2;

class LiveApp {
  constructor(page) {
    const views = page.cameras.map(({lens, rows}) => ({pose: poseOfMatrix(rows), lens}));
    Object.assign(this, {
      page, canvas: $("picture"), layer: "rgb", without: new Set(), dirty: true, asking: false, scale: 0.5, lastChange: 0,
      drawn: null, lastTick: performance.now(),
    });
    this.viewpoint = new Viewpoint(views, [page.width, page.height], page.distance);
    this.player = new Player(page.frames, page.frame_rate);
    this.keys = {
      " ": () => this.toggle(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), c: () => this.clipCamera(),
      ",": () => this.stop(-1), ".": () => this.stop(1), o: () => this.overview(), p: () => this.screenshot(),
      h: () => $("help").showModal(), "+": () => this.enlarge(1.1), "=": () => this.enlarge(1.1), "-": () => this.enlarge(1 / 1.1),
    };
    this.controls = new Controls(this, this.canvas);
    new ResizeObserver(() => this.changed()).observe($("stage"));
    requestAnimationFrame((now) => this.tick(now));
  }

  changed(moves = false) {
    this.dirty = true;
    if (moves) this.lastChange = performance.now();
  }

  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    const seconds = (now - this.lastTick) / 1000;
    this.lastTick = now;
    if (this.controls.advance(seconds) | this.player.advance(seconds)) this.changed(true);
    const rests = now - this.lastChange > STILL_MS;
    if (rests && this.drawn && this.drawn.scale < 1) this.dirty = true;
    if (this.dirty && !this.asking) this.ask(rests ? 1 : this.scale);
    this.showTime();
  }

  // Asks for the present view with sides of so large a share of the canvas, and draws the answer.
  async ask(scale) {
    this.dirty = false;
    this.asking = true;
    const ratio = Math.min(devicePixelRatio || 1, 2), most = 2048 / Math.max(this.canvas.clientWidth, this.canvas.clientHeight, 1);
    const share = scale * Math.min(ratio, most), begin = performance.now();
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => Math.max(8, Math.round(side * share)));
    const {rows, lens} = this.viewpoint.fitted(this.player.time, width, height);
    const without = this.without.has("moving") ? "moving" : [...this.without];
    try {
      const body = JSON.stringify({rows, lens, width, height, time: this.player.time, layer: this.layer, without});
      const answer = await fetch("picture", {method: "POST", body});
      if (!answer.ok) throw new Error(await answer.text());
      const picture = await createImageBitmap(await answer.blob());
      Object.assign(this.canvas, {width, height});
      this.canvas.getContext("2d").drawImage(picture, 0, 0);
      this.drawn = {scale, width, height, time: this.player.time};
      $("status").textContent = "";
      $("loading").hidden = true;
    } catch (error) {
      $("status").textContent = `No picture: ${error.message}`;
      this.drawn = {scale: 1};
    }
    const took = performance.now() - begin;
    // A picture's time goes with its pixels, about.
    if (scale < 1) this.scale = clamp(this.scale * clamp(Math.sqrt(TARGET_MS / took), 0.7, 1.15), SMALLEST_SCALE, 1);
    else if (took > TARGET_MS) this.scale = Math.min(this.scale, clamp(Math.sqrt(TARGET_MS / took), SMALLEST_SCALE, 0.99));
    this.asking = false;
  }

  // Resolves once the present view is drawn in full size.
  whenDrawn() {
    this.changed();
    return new Promise((done) => {
      const look = () => (!this.dirty && !this.asking && this.drawn?.scale === 1 ? done() : requestAnimationFrame(look));
      look();
    });
  }

  seek(time) { this.player.seek(time); this.changed(true); }
  toggle() { this.player.toggle(); this.changed(true); }
  step(frames) { this.player.step(frames); this.changed(true); }
  enlarge(factor) { this.viewpoint.enlarge(factor); this.changed(true); }
  clipCamera() { this.viewpoint.followClip(); this.changed(true); }
  overview() { this.viewpoint.overview(); this.changed(true); }

  stop(by) {
    const {views, mode} = this.viewpoint;
    const from = mode === "free" && this.stopAt !== undefined ? this.stopAt : Math.round(this.player.time);
    this.stopAt = (from + by + views.length) % views.length;
    this.viewpoint.place(views[this.stopAt]);
    this.changed(true);
  }

  setLayer(name) {
    this.layer = name;
    for (const button of document.querySelectorAll("[data-layer]")) button.setAttribute("aria-pressed", button.dataset.layer === name);
    this.changed();
  }

  // `object`: a number, or "moving".
  setShown(object, shown) {
    if (shown) this.without.delete(object);
    else this.without.add(object);
    this.changed();
  }

  setTheme(dark) {
    this.dark = dark;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }

  showTime() {
    const {time, last, playing} = this.player;
    if (document.activeElement !== $("time") || playing) $("time").value = time;
    $("time-text").textContent = `${time.toFixed(1)} / ${last}`;
    $("play").textContent = playing ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    const {mode} = this.viewpoint, {drawn} = this;
    $("clip-camera").setAttribute("aria-pressed", mode === "clip");
    $("where").textContent = `${mode === "clip" ? "Clip's camera" : "Free camera"}${drawn?.width ? `, ${drawn.width} × ${drawn.height}` : ""}`;
  }

  async screenshot() {
    this.player.playing = false;
    await this.whenDrawn();
    const link = document.createElement("a");
    link.href = this.canvas.toDataURL("image/png");
    link.download = `${this.page.name}_${this.player.time.toFixed(1)}.png`;
    link.click();
  }
}

const app = new LiveApp(JSON.parse($("page-data").textContent));
window.livePage = app;
connectTime(app);
on("screenshot", "click", () => app.screenshot());
on("theme", "click", () => app.setTheme(!app.dark));
on("help-button", "click", () => $("help").showModal());
on("help-close", "click", () => $("help").close());
for (const button of document.querySelectorAll("[data-layer]")) button.onclick = () => app.setLayer(button.dataset.layer);
for (const box of document.querySelectorAll("[data-object]")) {
  const {object} = box.dataset;
  box.onchange = () => app.setShown(object === "moving" ? object : Number(object), box.checked);
}
app.setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
app.setLayer("rgb");
