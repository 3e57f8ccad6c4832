/** The microphone: chunks of PCM16 at 24 kHz, and how loud they are. */

import { RATE, toPcm } from "./pcm.js";

export class Microphone extends EventTarget {
  #context = null;
  #stream = null;

  get on() {
    return this.#stream !== null;
  }

  /** Why there can be no microphone here; null where there can. Browsers hide it from pages that are not secure. */
  static obstacle() {
    if (globalThis.navigator?.mediaDevices?.getUserMedia) return null;
    const here = globalThis.location?.host ?? "this address";
    return `The browser gives a microphone and a camera to secure pages only. Open the page as http://localhost, or give the server TLS (https://${here}).`;
  }

  /** Fires `chunk` with `{pcm: Int16Array, level}` every 40 ms; the level is RMS, 0 to 1. Rejects where the person refuses. */
  async start() {
    if (this.#stream) return;
    const obstacle = Microphone.obstacle();
    if (obstacle) throw new Error(obstacle);
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio });
    try {
      await this.#listen(this.#stream);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #listen(stream) {
    let source;
    this.#context = new AudioContext({ sampleRate: RATE });
    try {
      source = this.#context.createMediaStreamSource(stream);
    } catch {
      // Firefox joins no stream to a context of another rate: the worklet resamples there.
      await this.#context.close();
      this.#context = new AudioContext();
      source = this.#context.createMediaStreamSource(stream);
    }
    await this.#context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => this.#tell(toPcm(data.samples), data.level);
    source.connect(capture);
    for (const track of stream.getTracks()) track.onended = () => this.#lost();
    await this.#context.resume();
  }

  async stop() {
    const [context, stream] = [this.#context, this.#stream];
    this.#context = this.#stream = null;
    for (const track of stream?.getTracks() ?? []) track.stop();
    await context?.close();
  }

  #tell(pcm, level) {
    if (this.#stream) this.dispatchEvent(new CustomEvent("chunk", { detail: { pcm, level } }));
  }

  /** Unplugged, or taken away in the browser's own settings. */
  async #lost() {
    await this.stop();
    this.dispatchEvent(new CustomEvent("lost"));
  }
}
