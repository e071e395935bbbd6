// The input frame, wiped over the rendering or beside it.

class InputFrames {
  // `pictures`: base64 of JPEG files, one a frame; `canvas`: what they are drawn on; `redraw` is called when one is there.
  constructor(pictures, canvas, redraw) {
    Object.assign(this, {pictures, canvas, redraw, images: [], shown: null});
  }

  get any() {
    return this.pictures.length > 0;
  }

  image(frame) {
    if (!this.images[frame]) {
      const image = new Image();
      image.onload = this.redraw;
      image.src = `data:image/jpeg;base64,${this.pictures[frame]}`;
      this.images[frame] = image;
    }
    return this.images[frame];
  }

  // Draws the frame nearest to a time where `rectangle` says (CSS pixels).
  draw(time, rectangle) {
    const frame = Math.round(time), image = this.image(frame), {canvas} = this;
    const ratio = Math.min(devicePixelRatio || 1, 2), width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    const key = [frame, width, height, ...rectangle].join();
    if (!image.complete || !width || key === this.shown) return;
    this.shown = key;
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, ...rectangle.map((v) => v * ratio));
  }
}
