// How fast the page draws here, while time runs and the camera turns: scenePage.measure(640, 360, 5) gives pictures a
// second in full size; scenePage.measure(640, 360, 5, true) as a slow machine draws a view that changes.

async function measure(app, width, height, seconds, moving = false) {
  const scale = moving ? SMALLEST_SCALE : 1;
  const before = {time: app.player.time, playing: app.player.playing}, begin = performance.now();
  Object.assign(app, {fixed: [width * scale, height * scale], measuring: true});
  app.viewpoint.takeOver(app.player.time);
  await app.sorting;
  await app.sort();
  let pictures = 0;
  while (performance.now() - begin < 1000 * seconds) {
    app.player.playing = true;
    app.player.advance(1 / 30);
    app.viewpoint.orbit(0.01 * Math.cos(pictures / 10), 0);
    if (app.drawing === "cpu") await app.sorting;  // its last picture, which is shown while the next one is drawn
    if (!app.sorting) app.sort();
    app.draw();
    app.renderer.finish();
    pictures++;
    await new Promise((done) => setTimeout(done));
  }
  const elapsed = (performance.now() - begin) / 1000;
  Object.assign(app, {fixed: null, measuring: false});
  Object.assign(app.player, before);
  app.clipCamera();
  return {pictures_per_second: pictures / elapsed, drawn: app.renderer.count};
}
