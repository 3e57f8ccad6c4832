/** The camera, one picture a second: `onFrame` is given a JPEG as a `data:` URI. */

const SIDE = 768;
const QUALITY = 0.7;
const EVERY_MS = 1000;

export class Camera {
  #stream = null;
  #timer = null;

  /** `video`: the element that shows what it sees. */
  constructor(video, { onFrame }) {
    this.video = video;
    this.onFrame = onFrame;
  }

  get open() {
    return this.#stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices) throw new Error("The browser gives the camera to https:// pages and to http://localhost alone.");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280 } });
    } catch (error) {
      throw new Error(`No camera: ${error.message}`);
    }
    this.video.srcObject = this.#stream;
    await this.video.play();
    this.#look();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = this.video.srcObject = null;
  }

  #look() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const canvas = Object.assign(document.createElement("canvas"), { width: videoWidth * scale, height: videoHeight * scale });
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    this.onFrame(canvas.toDataURL("image/jpeg", QUALITY));
  }
}
