// How fast the page draws here: scenePage.measure(640, 360, 5) gives pictures a second while time runs and the camera turns.

async function measure(app, width, height, seconds) {
  const {gl} = app.renderer, pixel = new Uint8Array(4), begin = performance.now();
  const before = {time: app.player.time, playing: app.player.playing};
  Object.assign(app, {fixed: [width, height], measuring: true});
  app.viewpoint.takeOver(app.player.time);
  let pictures = 0;
  while (performance.now() - begin < 1000 * seconds) {
    app.player.playing = true;
    app.player.advance(1 / 30);
    app.viewpoint.orbit(0.01 * Math.cos(pictures / 10), 0);
    if (!app.busy) app.sort();
    app.draw();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);  // waits until the picture is there
    pictures++;
    await new Promise((done) => setTimeout(done));
  }
  const elapsed = (performance.now() - begin) / 1000;
  Object.assign(app, {fixed: null, measuring: false});
  Object.assign(app.player, before);
  app.clipCamera();
  return {pictures_per_second: pictures / elapsed, drawn: app.renderer.count};
}
