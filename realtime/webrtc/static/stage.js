// The sheet: which of photo and drawing is seen, the divider between them, saving what is seen.

const $ = (id) => document.getElementById(id);

export class Stage {
  constructor() {
    this.sheet = $("stage");
    this.camera = $("camera");
    this.drawing = $("drawing");
    this.cut = 0.5;
    this.drawing.addEventListener("resize", () => this.fit());
    for (const video of [this.camera, this.drawing].filter(Boolean)) {
      video.addEventListener("playing", () => video.classList.add("live"));
      video.addEventListener("emptied", () => video.classList.remove("live"));
    }
    if ($("divider")) this.makeDivider($("divider"));
  }

  view(name) { this.sheet.dataset.view = name; }

  fit() {
    const { videoWidth: width, videoHeight: height } = this.drawing;
    if (width && height) this.sheet.style.setProperty("--aspect", (width / height).toFixed(4));
  }

  show(video, stream) {
    video.srcObject = stream;
    if (!stream) video.classList.remove("live");
  }

  makeDivider(divider) {
    const put = (cut) => {
      this.cut = Math.min(1, Math.max(0, cut));
      this.sheet.style.setProperty("--cut", `${this.cut * 100}%`);
      divider.setAttribute("aria-valuenow", String(Math.round(this.cut * 100)));
      divider.setAttribute("aria-valuetext", `${Math.round(this.cut * 100)} percent photo`);
    };
    const follow = (event) => {
      const box = this.sheet.getBoundingClientRect();
      put((event.clientX - box.left) / box.width);
    };
    divider.addEventListener("pointerdown", (event) => { divider.setPointerCapture(event.pointerId); follow(event); });
    divider.addEventListener("pointermove", (event) => divider.hasPointerCapture(event.pointerId) && follow(event));
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, Home: -1, End: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      put(this.cut + step);
    });
  }

  // What is seen, as a PNG.
  picture() {
    const { videoWidth: width, videoHeight: height } = this.drawing;
    const view = this.sheet.dataset.view;
    const canvas = Object.assign(document.createElement("canvas"), { width: view === "beside" ? 2 * width : width, height });
    const pen = canvas.getContext("2d");
    const drawPhoto = () => {
      const source = this.camera, scale = Math.max(width / source.videoWidth, height / source.videoHeight);
      const w = source.videoWidth * scale, h = source.videoHeight * scale;
      pen.save();
      if (source.classList.contains("mirrored")) { pen.translate(width, 0); pen.scale(-1, 1); }
      pen.beginPath(); pen.rect(0, 0, width, height); pen.clip();
      pen.drawImage(source, (width - w) / 2, (height - h) / 2, w, h);
      pen.restore();
    };
    if (view !== "drawing") drawPhoto();
    if (view === "drawing") pen.drawImage(this.drawing, 0, 0);
    if (view === "beside") pen.drawImage(this.drawing, width, 0);
    if (view === "split") {
      const x = Math.round(this.cut * width);
      if (x < width) pen.drawImage(this.drawing, x, 0, width - x, height, x, 0, width - x, height);
    }
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  async full(button) {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (this.sheet.requestFullscreen) await this.sheet.requestFullscreen();
    else if (this.drawing.webkitEnterFullscreen) this.drawing.webkitEnterFullscreen();
    button.setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
  }
}

export function save(blob, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `drawing-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Records a drawing, with the microphone if there is one.
export class Recorder {
  constructor() { this.recorder = null; }
  get on() { return this.recorder !== null; }
  start(streams) {
    const tracks = streams.flatMap((stream) => stream.getTracks());
    const kind = ["video/mp4", "video/webm;codecs=vp9,opus", "video/webm"].find((one) => MediaRecorder.isTypeSupported(one));
    const parts = [];
    this.recorder = new MediaRecorder(new MediaStream(tracks), { mimeType: kind, videoBitsPerSecond: 4_000_000 });
    this.recorder.addEventListener("dataavailable", (event) => event.data.size && parts.push(event.data));
    this.recorder.addEventListener("stop", () => save(new Blob(parts, { type: kind }), kind.startsWith("video/mp4") ? "mp4" : "webm"));
    this.recorder.start(1000);
  }
  stop() {
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
    this.recorder = null;
  }
}
