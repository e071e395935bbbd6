// Starts the page: reads what it holds, and connects its buttons.

function connect(app) {
  connectTime(app);
  on("show-path", "change", () => app.setOverlay("path", $("show-path").checked));
  on("show-tracks", "change", () => app.setOverlay("tracks", $("show-tracks").checked));
  on("screenshot", "click", () => app.screenshot());
  on("add-key-frame", "click", () => app.addKeyFrame());
  on("preview", "click", () => app.startPreview());
  on("save-path", "click", () => app.savePath());
  on("open-path", "change", () => $("open-path").files[0] && app.openPath($("open-path").files[0]));
  on("theme", "click", () => app.setTheme(!app.dark));
  on("help-button", "click", () => app.help(true));
  on("help-close", "click", () => app.help(false));
  for (const button of document.querySelectorAll("[data-layer]")) button.onclick = () => app.setLayer(button.dataset.layer);
  for (const button of document.querySelectorAll("[data-compare-mode]")) button.onclick = () => app.setCompare(button.dataset.compareMode);
  connectWipe(app);
}

function connectWipe(app) {
  const handle = $("wipe");
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    const {left, width} = $("stage").getBoundingClientRect();
    if (event.buttons) app.setWipe((event.clientX - left) / width);
  });
  handle.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -0.02, ArrowRight: 0.02}[event.key];
    if (step) { app.setWipe(app.wipe + step); event.preventDefault(); event.stopPropagation(); }
  });
}

async function start() {
  // Within the report: the picture and the time alone.
  const hashed = new URLSearchParams(location.hash.slice(1));
  document.body.classList.toggle("embedded", hashed.has("embedded"));
  const page = JSON.parse($("page-data").textContent);
  const content = decodeSplats(await unzipped(bytesOfBase64($("scene-data").textContent)));
  $("scene-data").remove();
  const drawing = {cpu: "cpu", gpu: "gpu"}[hashed.get("draw")] || drawingFor();
  const app = new App(page, content, $("worker-source").textContent, drawing);
  window.scenePage = app;
  connect(app);
  app.setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  app.setLayer("all");
  app.setCompare("off");
  app.showKeyFrames();
  if (hashed.has("time")) app.seek(Number(hashed.get("time")));
  else if (!matchMedia("(prefers-reduced-motion: reduce)").matches) app.toggle();
}

start().catch((error) => {
  $("loading").hidden = false;
  $("loading").textContent = `The scene cannot be shown. ${error.message}`;
  console.error(error);
});
