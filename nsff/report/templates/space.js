// Drawings in space turn under the pointer, one finger or the arrow keys; the wheel with Ctrl, or + and -, come nearer.
for (const canvas of document.querySelectorAll("canvas.space")) {
  const {points, path, frusta, tracks} = JSON.parse(canvas.dataset.space);
  const view = {yaw: -0.5, pitch: 0.35, zoom: 1.7}, context = canvas.getContext("2d");
  const colour = name => getComputedStyle(canvas).getPropertyValue(name).trim();
  const place = ([x, y, z]) => {
    const {yaw, pitch, zoom} = view, scale = zoom * Math.min(canvas.width, 1.5 * canvas.height) / 3000;
    const right = Math.cos(yaw) * x + Math.sin(yaw) * z, away = Math.cos(yaw) * z - Math.sin(yaw) * x;
    const up = Math.cos(pitch) * y + Math.sin(pitch) * away, depth = Math.cos(pitch) * away - Math.sin(pitch) * y;
    const near = scale * 4000 / (4000 + depth);
    return [canvas.width / 2 + right * near, canvas.height / 2 - up * near, depth];
  };
  const line = (from, to, style, width) => {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  };
  const draw = () => {
    const ratio = Math.min(devicePixelRatio || 1, 2), dot = 2 * ratio;
    canvas.width = Math.max(1, canvas.clientWidth * ratio);
    canvas.height = Math.max(1, canvas.clientHeight * ratio);
    const placed = points.map(point => [...place(point), point]).sort((a, b) => b[2] - a[2]);
    for (const [u, v, , [, , , r, g, b]] of placed) {
      context.fillStyle = `rgb(${r},${g},${b})`;
      context.fillRect(u - dot / 2, v - dot / 2, dot, dot);
    }
    for (const frustum of frusta) {
      const [eye, ...corners] = frustum.map(place);
      corners.forEach((corner, i) => {
        line(eye, corner, colour("--c1"), ratio);
        line(corner, corners[(i + 1) % 4], colour("--c1"), ratio);
      });
    }
    const eyes = path.map(place);
    for (let i = 1; i < eyes.length; i++) line(eyes[i - 1], eyes[i], colour("--c0"), 2.5 * ratio);
    for (const track of tracks) {
      const ends = track.map(place);
      for (let i = 1; i < ends.length; i++) line(ends[i - 1], ends[i], `rgb(${track[i].slice(3)})`, 1.5 * ratio);
    }
  };
  const turn = (across, down) => {
    view.yaw += across;
    view.pitch = Math.min(Math.max(view.pitch + down, -1.5), 1.5);
    draw();
  };
  const nearer = factor => { view.zoom = Math.min(Math.max(view.zoom * factor, 0.4), 12); draw(); };
  canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", event => { if (event.buttons) turn(event.movementX / 150, event.movementY / 150); });
  canvas.addEventListener("wheel", event => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    nearer(Math.exp(-event.deltaY / 300));
  }, {passive: false});
  canvas.addEventListener("keydown", event => {
    const turns = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1]}[event.key];
    const factor = {"+": 1.15, "=": 1.15, "-": 1 / 1.15}[event.key];
    if (turns) turn(...turns);
    if (factor) nearer(factor);
    if (turns || factor) event.preventDefault();
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
