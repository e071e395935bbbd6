// The page: its state, what buttons and keys do, and the loop that draws.

const $ = (id) => document.getElementById(id);
const STILL_MS = 250;       // after so long without change it is drawn in full size
const SMALLEST_SCALE = 0.5;
const BACKGROUNDS = {dark: [0.05, 0.06, 0.07], light: [0.93, 0.93, 0.92]};

class App {
  constructor(page, content, workerSource, drawing) {
    this.drawing = drawing;
    this.page = page;
    const numbers = page.objects.map((object) => object.number);
    this.packed = packScene(content, numbers, page.near * 0.05);
    this.scene = this.packed.scene;
    const views = page.cameras.map(({lens, rows}) => ({pose: poseOfMatrix(rows), lens}));
    const middle = views[Math.floor(views.length / 2)], depths = depthsBefore(middle, this.scene, page);
    const distance = middleDepth(depths, page);
    this.viewpoint = new Viewpoint(views, [page.width, page.height], distance);
    this.player = new Player(page.frames, page.frame_rate);
    this.lines = new Lines(this.scene, views, [page.width, page.height], distance);
    this.keyFrames = new KeyFrames(page);
    this.entries = [
      {label: "Background", colour: [0.5, 0.5, 0.5]}, {label: "Moving, no object", colour: [0.3, 0.8, 1]},
      // A shadow is hidden, isolated and followed with the object that casts it.
      ...page.objects.map(({name, colour, caster}) => ({label: name, colour, caster: caster === null ? null : 2 + numbers.indexOf(caster)})),
    ].map((entry, i) => ({...entry, members: this.scene.object.reduce((n, own) => n + (own === i), 0), shown: true, tint: 0, css: `rgb(${entry.colour.map((v) => Math.round(v * 255))})`}));
    Object.assign(this, {
      layer: "all", isolated: null, followed: null, compare: "off", wipe: 0.5, overlays: {path: false, tracks: false},
      preview: null, dirty: true, scale: 1, keptScale: 1, lastChange: 0, sorted: false, sorting: null, wanted: true, canvas: $("picture"),
    });
    this.renderer = new (drawing === "cpu" ? SoftwareRenderer : Renderer)(this.canvas, this.packed, {
      blur: page.blur, focal: views[0].lens[0], compensate: page.compensate, depthRange: depthRange(depths, page), speedScale: speedScale(this.scene),
    }, URL.createObjectURL(new Blob([workerSource], {type: "text/javascript"})));
    this.input = new InputFrames(page.pictures, $("input-picture"), () => this.changed());
    this.keys = this.actions();
    this.controls = new Controls(this, this.canvas);
    this.showObjects();
    this.updateTable();
    new ResizeObserver(() => this.changed()).observe($("stage"));
    this.lastTick = performance.now();
    requestAnimationFrame((now) => this.tick(now));
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  changed(moves = false) {
    this.dirty = this.wanted = true;
    if (moves) this.lastChange = performance.now();
  }

  get shown() {
    const {entries, isolated} = this;
    const alone = ({shown, caster}, i) => i === isolated || (caster === isolated && shown);
    const among = ({shown, caster}) => shown && (caster == null || entries[caster].shown);
    return entries.map((entry, i) => ((isolated === null ? among(entry) : alone(entry, i)) ? 1 : 0));
  }

  updateTable() {
    const shown = this.shown;
    this.renderer.setObjects(this.entries.map(({colour, tint}, i) => [...colour, shown[i], tint]));
    this.changed();
  }

  // What is to be drawn now.
  state() {
    const ratio = Math.min(devicePixelRatio || 1, 2) * this.scale, {time} = this.player;
    const size = this.fixed || ["clientWidth", "clientHeight"].map((side) => Math.max(1, Math.round(this.canvas[side] * ratio)));
    const background = BACKGROUNDS[this.dark ? "dark" : "light"];
    return {size, time, background, layer: this.layer, shown: this.shown, view: this.viewpoint.fitted(time, ...size), ownCamera: this.viewpoint.mode === "clip"};
  }

  // Asks for the present state to be sorted, or drawn by the processor; resolves once it is.
  sort() {
    this.wanted = false;
    this.sorting = this.renderer.order(this.state()).then(() => {
      Object.assign(this, {sorting: null, sorted: true, dirty: true});
      if (!this.renderer.state) return;
      this.adapt(this.renderer.milliseconds);
      if (this.wanted && !this.measuring) this.sort().catch(console.error);  // without waiting for the next tick
    });
    return this.sorting;
  }

  draw() {
    // The processor draws while the page goes on: the state is that of its last picture.
    const {canvas} = this, state = this.renderer.state || this.state(), [width, height] = state.size, {path, tracks} = this.overlays;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    const segments = path || tracks ? this.lines.at(state.time, this.overlays, this.entries.map((e) => e.colour), state.shown, state.ownCamera) : null;
    this.renderer.render(state, segments);
    this.drawInput();
    this.showTime();
  }

  drawInput() {
    if (this.compare === "off") return;
    const place = this.compare === "wipe" ? this.canvas : $("input-picture");
    this.input.draw(this.player.time, this.viewpoint.frame(place.clientWidth, place.clientHeight));
  }

  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    const seconds = (now - this.lastTick) / 1000;
    this.lastTick = now;
    if (this.measuring) return;
    const moves = this.controls.advance(seconds) | this.player.advance(seconds) | this.advancePreview(seconds);
    if (moves) this.changed(true);
    if (now - this.lastChange > STILL_MS) {
      if (this.scale < 1) this.setScale(1);
    } else {
      if (this.scale === 1 && this.keptScale < 1) this.setScale(this.keptScale);
      if (this.dirty && !this.renderer.state) this.adapt(1000 * seconds);
    }
    if (this.wanted && !this.sorting) this.sort().catch(console.error);
    if (this.dirty && this.sorted) {
      this.dirty = false;
      this.draw();
      if (!this.ready) this.finishLoading();
    }
  }

  setScale(scale) {
    this.scale = scale;
    this.changed();
  }

  // A view that changes is drawn smaller where the machine is slow, larger again where it is not.
  adapt(milliseconds) {
    if (performance.now() - this.lastChange > STILL_MS) return;
    this.slow = 0.8 * (this.slow || 30) + 0.2 * Math.min(milliseconds, 400);
    const {targetMs} = this.renderer;
    if (this.slow > targetMs) this.scale = Math.max(SMALLEST_SCALE, this.scale * clamp(Math.sqrt(targetMs / this.slow), 0.75, 0.95));
    else if (this.slow < targetMs / 2) this.scale = Math.min(1, this.scale * 1.03);
    this.keptScale = this.scale;
  }

  // Resolves once the present view is sorted and drawn in full size.
  whenDrawn() {
    this.changed();
    return new Promise((done) => {
      const look = () => {
        if (!this.wanted && !this.sorting && !this.dirty && this.scale === 1) requestAnimationFrame(done);
        else requestAnimationFrame(look);
      };
      look();
    });
  }

  finishLoading() {
    this.ready = true;
    $("loading").hidden = true;
  }

  // --- time ---------------------------------------------------------------------------------------------------------
  seek(time) {
    this.player.seek(time);
    this.changed(true);
  }

  toggle() {
    this.player.toggle();
    this.changed(true);
  }

  step(frames) {
    this.player.step(frames);
    this.changed(true);
  }

  changeSpeed(by) {
    const field = $("speed");
    field.selectedIndex = clamp(field.selectedIndex + by, 0, field.options.length - 1);
    this.player.speed = Number(field.value);
    this.say(`${field.selectedOptions[0].textContent} speed`);
  }

  showTime() {
    const {time, last, playing} = this.player;
    if (document.activeElement !== $("time") || playing) $("time").value = time;
    $("time-text").textContent = `${time.toFixed(1)} / ${last}`;
    $("play").textContent = playing ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    const {mode} = this.viewpoint;
    $("clip-camera").setAttribute("aria-pressed", mode === "clip");
    $("where").textContent = mode === "clip" ? "Clip's camera" : this.viewpoint.follow ? `Following ${this.entries[this.followed].label}` : "Free camera";
  }

  // --- the camera ---------------------------------------------------------------------------------------------------
  clipCamera() {
    this.viewpoint.followClip();
    this.setFollowed(null);
  }

  stop(by) {
    // The camera of the next or last frame, at rest there while time goes on.
    const {views, mode} = this.viewpoint;
    const from = mode === "free" && this.stopAt !== undefined ? this.stopAt : Math.round(this.player.time);
    this.stopAt = (from + by + views.length) % views.length;
    this.viewpoint.place(views[this.stopAt]);
    this.setFollowed(null);
    this.say(`Camera of frame ${this.stopAt}`);
  }

  overview() {
    this.viewpoint.overview();
    this.setOverlay("path", true);
    this.setFollowed(null);
  }

  setFollowed(entry) {
    this.followed = entry;
    this.showObjects();
    this.changed(true);
  }

  goAlong(entry) {
    if (this.followed === entry) {
      this.viewpoint.takeOver(this.player.time);
      return this.setFollowed(null);
    }
    this.viewpoint.goAlong(placeOf(this.scene, entry), this.player.time);
    this.setFollowed(entry);
  }

  // --- what is shown ------------------------------------------------------------------------------------------------
  setLayer(name) {
    this.layer = name;
    for (const button of document.querySelectorAll("[data-layer]")) button.setAttribute("aria-pressed", button.dataset.layer === name);
    this.changed();
  }

  setOverlay(name, on) {
    this.overlays[name] = on;
    $(`show-${name}`).checked = on;
    this.changed();
  }

  showObjects() {
    listObjects(this, $("objects"));
  }

  setShown(entry, on) {
    this.entries[entry].shown = on;
    this.isolated = null;
    this.showObjects();
    this.updateTable();
  }

  isolate(entry) {
    this.isolated = this.isolated === entry ? null : entry;
    this.showObjects();
    this.updateTable();
  }

  setTint(entry, on) {
    this.entries[entry].tint = on ? 0.55 : 0;
    this.showObjects();
    this.updateTable();
  }

  setCompare(mode) {
    this.compare = this.input.any ? mode : "off";
    $("stage").dataset.compare = this.compare;
    for (const button of document.querySelectorAll("[data-compare-mode]")) button.setAttribute("aria-pressed", button.dataset.compareMode === this.compare);
    this.input.shown = null;
    this.setWipe(this.wipe);
  }

  setWipe(share) {
    this.wipe = clamp(share, 0, 1);
    $("stage").style.setProperty("--wipe", `${100 * this.wipe}%`);
    $("wipe").setAttribute("aria-valuenow", Math.round(100 * this.wipe));
    this.changed();
  }

  setTheme(dark) {
    this.dark = dark;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.changed();
  }

  // --- pictures and paths -------------------------------------------------------------------------------------------
  async screenshot() {
    this.lastChange = 0;
    await this.whenDrawn();
    this.draw();
    this.canvas.toBlob((blob) => download(`${this.page.name}_${this.player.time.toFixed(1)}.png`, blob));
  }

  addKeyFrame() {
    const {viewpoint, player} = this;
    this.keyFrames.add(viewpoint.at(player.time), viewpoint.mode === "clip" ? 1 : viewpoint.zoom, player.time);
    this.showKeyFrames();
  }

  showKeyFrames() {
    listKeyFrames(this, $("key-frames"));
  }

  removeKeyFrame(i) {
    this.keyFrames.remove(i);
    this.showKeyFrames();
  }

  moveKeyFrame(i, at) {
    const {list} = this.keyFrames, by = Math.max(at, list[i - 1].at + 0.1) - list[i].at;
    list.slice(i).forEach((key) => (key.at += by));
    this.showKeyFrames();
  }

  showKeyFrame(i) {
    this.goTo(this.keyFrames.list[i].view, this.keyFrames.list[i].time);
  }

  goTo(view, time) {
    this.player.playing = false;
    this.viewpoint.place(view, this.viewpoint.distance);
    this.player.seek(time);
    this.setFollowed(null);
  }

  startPreview() {
    this.preview = this.preview === null && this.keyFrames.list.length > 1 ? 0 : null;
    $("preview").setAttribute("aria-pressed", this.preview !== null);
  }

  advancePreview(seconds) {
    if (this.preview === null) return false;
    this.preview += Math.min(seconds, 0.5);
    const {view, time} = this.keyFrames.at(this.preview);
    this.goTo(view, time);
    if (this.preview >= this.keyFrames.length) this.startPreview();
    return true;
  }

  savePath() {
    download(`${this.page.name}_path.json`, new Blob([JSON.stringify(this.keyFrames, null, 1)], {type: "application/json"}));
  }

  async openPath(file) {
    try {
      this.keyFrames.read(JSON.parse(await file.text()));
      this.showKeyFrames();
    } catch (error) {
      this.say(`${file.name} is no path file.`);
    }
  }

  // A few words over the picture, for a moment.
  say(words) {
    $("status").textContent = words;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => ($("status").textContent = ""), 2500);
  }

  help(open = !$("help").open) {
    if (open) $("help").showModal();
    else $("help").close();
  }

  actions() {
    const layers = Object.keys(LAYERS);
    return {
      " ": () => this.toggle(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      ArrowUp: () => this.changeSpeed(1), ArrowDown: () => this.changeSpeed(-1), c: () => this.clipCamera(),
      ",": () => this.stop(-1), ".": () => this.stop(1), o: () => this.overview(), k: () => this.addKeyFrame(),
      p: () => this.screenshot(), h: () => this.help(), "?": () => this.help(),
      i: () => this.setCompare({off: "wipe", wipe: "beside", beside: "off"}[this.compare]),
      t: () => this.setOverlay("tracks", !this.overlays.tracks), x: () => this.setOverlay("path", !this.overlays.path),
      "+": () => this.enlarge(1.1), "=": () => this.enlarge(1.1), "-": () => this.enlarge(1 / 1.1),
      ...Object.fromEntries(layers.map((name, i) => [`${i + 1}`, () => this.setLayer(name)])),
    };
  }

  measure(width, height, seconds, moving) {
    return measure(this, width, height, seconds, moving);
  }

  enlarge(factor) {
    this.controls.take();
    this.viewpoint.enlarge(factor);
  }
}
