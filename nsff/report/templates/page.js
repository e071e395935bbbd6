// A link to a folded section opens it; printing opens all; who wants less motion has videos that wait.
(() => {
  const open = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = place && place.querySelector("details.stage");
    if (folded) { folded.open = true; place.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches)
    for (const video of document.querySelectorAll("video")) { video.autoplay = false; video.pause(); }
})();
