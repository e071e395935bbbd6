// Charts tell their values where the pointer is; with the keyboard, arrow keys go from value to value.
for (const svg of document.querySelectorAll("svg[data-axes]")) {
  const {left, right, top, bottom, low, high} = JSON.parse(svg.dataset.axes), make = name => document.createElementNS(svg.namespaceURI, name);
  const lines = [...svg.querySelectorAll("[data-y]")].map(line => ({
    name: line.dataset.name, x: JSON.parse(line.dataset.x), y: JSON.parse(line.dataset.y),
    at: line.getAttribute("points").split(" ").map(pair => pair.split(",").map(Number)),
  }));
  const group = make("g"), rule = make("line"), box = make("rect"), text = make("text");
  const dots = lines.map((_, i) => { const dot = make("circle"); dot.setAttribute("class", `dot c${i % 6}`); dot.setAttribute("r", 3); return dot; });
  group.setAttribute("class", "hover");
  rule.setAttribute("y1", top);
  rule.setAttribute("y2", bottom);
  group.append(rule, ...dots, box, text);
  svg.append(group);
  const said = document.createElement("span");
  said.className = "said";
  said.setAttribute("aria-live", "polite");
  svg.after(said);
  const words = value => Number(value.toPrecision(4)).toString();
  let shown = null;
  const show = x => {
    const found = lines.map(line => line.x.reduce((best, value, i) => (Math.abs(value - x) < Math.abs(line.x[best] - x) ? i : best), 0));
    shown = lines[0].x[found[0]];
    const [across] = lines[0].at[found[0]], values = lines.map((line, k) => `${lines.length > 1 ? line.name + " " : ""}${words(line.y[found[k]])}`);
    rule.setAttribute("x1", across);
    rule.setAttribute("x2", across);
    lines.forEach((line, k) => ["cx", "cy"].forEach((name, i) => dots[k].setAttribute(name, line.at[found[k]][i])));
    text.textContent = `${svg.dataset.over} ${words(shown)}: ${values.join(", ")}`;
    group.style.display = "inline";
    const width = text.getComputedTextLength(), begin = Math.min(Math.max(across - width / 2, left + 4), right - width - 4);
    text.setAttribute("x", begin);
    text.setAttribute("y", top + 11);
    Object.entries({x: begin - 5, y: top - 2, width: width + 10, height: 18, rx: 4}).forEach(([name, value]) => box.setAttribute(name, value));
    said.textContent = text.textContent;
  };
  const hide = () => { group.style.display = "none"; shown = null; };
  hide();
  svg.setAttribute("tabindex", 0);
  svg.addEventListener("pointermove", event => {
    const {left: edge, width} = svg.getBoundingClientRect(), own = (event.clientX - edge) / width * svg.viewBox.baseVal.width;
    show(low + (own - left) / (right - left) * (high - low));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], {x} = lines[0];
    if (!step) return;
    event.preventDefault();
    const from = shown === null ? (step > 0 ? -1 : x.length) : x.indexOf(shown);
    show(x[Math.min(Math.max(from + step, 0), x.length - 1)]);
  });
}
