// The lists of the panel: objects, and key frames. All they do is told to the app.

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// One line an entry of the table of objects: a swatch, a checkbox, and isolate, tint, follow.
function listObjects(app, place) {
  place.replaceChildren(...app.entries.flatMap((entry, i) => {
    if (!entry.members) return [];
    const box = element("input", {type: "checkbox", checked: entry.shown, onchange: () => app.setShown(i, box.checked)});
    box.disabled = entry.caster != null && !app.entries[entry.caster].shown;
    const swatch = element("span", {className: "swatch"});
    swatch.style.background = entry.css;
    const button = (label, title, pressed, action) => {
      const made = element("button", {type: "button", textContent: label, title, onclick: action});
      made.setAttribute("aria-pressed", pressed);
      made.setAttribute("aria-label", `${title}: ${entry.label}`);
      return made;
    };
    const line = element("li", {}, element("label", {}, box, swatch, element("span", {textContent: entry.label})));
    line.append(button("Only", "Show this alone", app.isolated === i, () => app.isolate(i)));
    if (i > 0) {
      line.append(
        button("Tint", "Paint it in its colour", entry.tint > 0, () => app.setTint(i, !entry.tint)),
        button("Follow", "Let the camera go along with it", app.followed === i, () => app.goAlong(i)),
      );
    }
    return [line];
  }));
}

function listKeyFrames(app, place) {
  const {list} = app.keyFrames;
  place.replaceChildren(...list.map((key, i) => element(
    "li", {},
    element("button", {type: "button", textContent: `${i + 1}`, title: "Go there", onclick: () => app.showKeyFrame(i)}),
    element("span", {textContent: `frame ${key.time.toFixed(1)}`}),
    secondsField(app, key, i),
    element("button", {type: "button", textContent: "✕", title: "Remove it", onclick: () => app.removeKeyFrame(i)}),
  )));
  for (const id of ["preview", "save-path"]) document.getElementById(id).disabled = list.length < 2;
}

function secondsField(app, key, i) {
  // When the video reaches this key frame; those after it keep their distance.
  const field = element("input", {type: "number", min: 0, step: 0.5, value: +key.at.toFixed(2), disabled: i === 0});
  field.setAttribute("aria-label", `Second at which key frame ${i + 1} is reached`);
  field.onchange = () => app.moveKeyFrame(i, Number(field.value));
  return element("label", {}, "at ", field, " s");
}

function download(name, blob) {
  const link = element("a", {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
