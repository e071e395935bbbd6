// Key frames in space and time, their preview, and the path file that `render` takes (docs/formats.md#path-files).

const SECONDS_BETWEEN = 2;

class KeyFrames {
  constructor(page) {
    Object.assign(this, {page, list: []});
  }

  // A view {pose, lens} in the clip's pixels, at a time of the scene; `at`: the moment of the video, seconds.
  add(view, zoom, time, at = this.length + (this.list.length ? SECONDS_BETWEEN : 0)) {
    const lens = [view.lens[0] * zoom, view.lens[1] * zoom, view.lens[2], view.lens[3]];
    this.list.push({view: {pose: view.pose, lens}, time, at});
  }

  get length() {
    return this.list.length ? this.list[this.list.length - 1].at : 0;
  }

  remove(index) {
    this.list.splice(index, 1);
    const first = this.list.length ? this.list[0].at : 0;
    this.list.forEach((key) => (key.at -= first));
  }

  // What is seen at a moment of the video: {view, time}.
  at(seconds) {
    const moments = this.list.map((key) => key.at);
    let i = 0;
    while (i < moments.length - 2 && seconds >= moments[i + 1]) i++;
    const f = this.list.length < 2 ? 0 : clamp((seconds - moments[i]) / (moments[i + 1] - moments[i]), 0, 1);
    const a = this.list[i], b = this.list[Math.min(i + 1, this.list.length - 1)];
    return {view: between([a.view, b.view], f), time: a.time + (b.time - a.time) * f};
  }

  toJSON() {
    const {page} = this;
    return {
      format: "nsff path", version: 1, scene: page.name, width: page.width, height: page.height,
      cameras: this.list.map(({view: {pose, lens}}) => ({
        intrinsics: [[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]],
        world_to_camera: matrixOfPose(pose), near: page.near, far: page.far,
      })),
      times: this.list.map((key) => key.time), moments: this.list.map((key) => key.at),
    };
  }

  // Takes the key frames of a path file.
  read(content) {
    if (content.format !== "nsff path" || content.cameras.length !== content.times.length) throw new Error("This is no path file.");
    this.list = content.cameras.map((camera, i) => {
      const K = camera.intrinsics, sx = this.page.width / content.width, sy = this.page.height / content.height;
      return {
        view: {pose: poseOfMatrix(camera.world_to_camera), lens: [K[0][0] * sx, K[1][1] * sy, K[0][2] * sx, K[1][2] * sy]},
        time: content.times[i], at: content.moments[i],
      };
    });
  }
}
