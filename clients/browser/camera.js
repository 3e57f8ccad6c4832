/** A camera: one small JPEG a second, for as long as it is on. */

/** Milliseconds between frames: the server takes one a second (`REALTIME_CAMERA_FPS`). */
const INTERVAL = 1000;
/** Pixels of a frame's longest side: the server shows its model no more (`REALTIME_LOW_IMAGE_SIDE`). */
const SIDE = 512;

export class Camera extends EventTarget {
  #video;
  #canvas = document.createElement("canvas");
  #stream = null;
  #timer = 0;

  /** @param {HTMLVideoElement} video shows what the camera sees */
  constructor(video) {
    super();
    this.#video = video;
  }

  get on() {
    return this.#stream !== null;
  }

  /** Fires `frame` with a `data:` URI. Rejects where the person refuses, or there is no camera. */
  async start() {
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#take();
    this.#timer = setInterval(() => this.#take(), INTERVAL);
  }

  stop() {
    clearInterval(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.#video.srcObject = null;
  }

  #take() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth) return;
    const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    Object.assign(this.#canvas, { width: Math.round(videoWidth * scale), height: Math.round(videoHeight * scale) });
    this.#canvas.getContext("2d").drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    this.dispatchEvent(new CustomEvent("frame", { detail: this.#canvas.toDataURL("image/jpeg", 0.7) }));
  }
}
