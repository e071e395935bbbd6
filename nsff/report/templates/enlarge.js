// Pictures open in full size on click, Enter or space; without scripts the page lacks nothing else.
(() => {
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", "Enlarged picture");
  const picture = document.createElement("img"), caption = document.createElement("p"), close = document.createElement("button");
  close.textContent = "Close";
  close.onclick = () => dialog.close();
  dialog.append(picture, caption, close);
  dialog.onclick = event => { if (event.target === dialog) dialog.close(); };
  document.body.append(dialog);
  for (const image of document.querySelectorAll(".strip:not(.key) img")) {
    const button = document.createElement("button");
    button.className = "enlarge";
    button.setAttribute("aria-label", "Enlarge: " + image.alt);
    image.replaceWith(button);
    button.append(image);
    button.onclick = () => {
      picture.src = image.src;
      picture.alt = caption.textContent = image.alt;
      dialog.showModal();
    };
  }
})();
