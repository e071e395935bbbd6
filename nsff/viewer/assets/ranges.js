// What a scene is like: how deep it lies before the clip's cameras, and how fast things move.

// Depths of what rests before a view, the smallest first: of a few thousand Gaussians.
function depthsBefore({pose, lens}, {position, count, moving}, page) {
  const forward = turned(pose.q, [0, 0, 1]), depths = [];
  const every = Math.max(1, Math.floor(count / 5000));
  for (let i = 0; i < count - moving; i += every) {
    const place = sub([position[3 * i], position[3 * i + 1], position[3 * i + 2]], pose.p), z = dot(forward, place);
    const wide = dot(turned(pose.q, [1, 0, 0]), place) * lens[0] / z, high = dot(turned(pose.q, [0, 1, 0]), place) * lens[1] / z;
    if (z > page.near * 0.3 && Math.abs(wide) < page.width / 2 && Math.abs(high) < page.height / 2) depths.push(z);
  }
  return depths.sort((a, b) => a - b);
}

function middleDepth(depths, page) {
  return depths.length ? depths[Math.floor(depths.length * 0.4)] : page.near * 2;
}

// Inverse depths of the far and the near end of the colours of layer depth.
function depthRange(depths, page) {
  const at = (share) => depths[Math.floor(share * (depths.length - 1))];
  return depths.length > 9 ? [1 / at(0.98), 1 / at(0.01)] : [1 / page.far, 1 / page.near];
}

// One over a speed, in the scene's units a frame, that few things exceed.
function speedScale(scene) {
  const {moving, middle} = scene, speeds = [], a = [0, 0, 0], b = [0, 0, 0];
  for (let m = 0; m < moving; m += Math.max(1, Math.floor(moving / 5000))) {
    pathAt(scene, m, middle[m] - 0.5, a);
    pathAt(scene, m, middle[m] + 0.5, b);
    speeds.push(norm(sub(a, b)));
  }
  speeds.sort((x, y) => x - y);
  return 1 / Math.max(speeds[Math.floor(speeds.length * 0.9)] || 0, 1e-9);
}
