import { RATE } from "./pcm.js";

/** The microphone. `onSound` is given PCM16 at 24 kHz, 20 ms at a time, `onLevel` how loud that is (0 to 1). */
export class Microphone {
  #context = null;
  #stream = null;

  constructor({ onSound, onLevel }) {
    this.onSound = onSound;
    this.onLevel = onLevel;
  }

  get open() {
    return this.#stream !== null;
  }

  /** Ask for it, and listen. Rejects with a reason that can be shown. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("The browser gives the microphone to https:// pages and to http://localhost alone.");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (error) {
      throw new Error(error.name === "NotAllowedError" ? "The browser was told not to give the microphone to this page." : `No microphone: ${error.message}`);
    }
    this.#context = new AudioContext({ sampleRate: RATE });
    await this.#context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data: { samples, level } }) => {
      this.onLevel(level);
      this.onSound(samples);
    };
    this.#context.createMediaStreamSource(this.#stream).connect(capture);
  }

  async stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    await this.#context?.close();
    this.#context = null;
    this.onLevel(0);
  }
}
