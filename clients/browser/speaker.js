/** The loudspeaker: plays answers item by item, and knows what of each was really heard. */

import { RATE, fromBase64, fromPcm } from "./pcm.js";

export class Speaker extends EventTarget {
  #context = null;
  #node = null;
  #gain = null;
  #clears = new Map();
  #lastClear = 0;
  /** Items that were interrupted: what still comes of them is not played. */
  #interrupted = new Set();
  playing = false;
  /** Samples of each item that came. */
  #received = new Map();

  /** Has to be called from a click or a key for the first time: browsers let no page sound before. */
  async start() {
    if (this.#node) return this.#context.resume();
    this.#context ??= new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(new URL("playback-worklet.js", import.meta.url));
    if (this.#node) return;
    this.#node = new AudioWorkletNode(this.#context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#told(data);
    this.#gain = this.#context.createGain();
    this.#node.connect(this.#gain).connect(this.#context.destination);
    await this.#context.resume();
  }

  /** @param {number} value 0 to 1 */
  set volume(value) {
    if (this.#gain) this.#gain.gain.value = value;
  }

  /** @param {string} base64 PCM16 at 24 kHz of the item's part `index` */
  push(item, index, base64) {
    if (!this.#node || this.#interrupted.has(item)) return;
    const samples = fromPcm(fromBase64(base64));
    if (!samples.length) return;
    this.playing = true;
    this.#received.set(item, (this.#received.get(item) ?? 0) + samples.length);
    this.#node.port.postMessage({ type: "push", item, index, samples }, [samples.buffer]);
  }

  /**
   * Silence, at once.
   * @returns {Promise<{item: string, index: number, milliseconds: number}[]>} the items that were cut, and how much of each was heard
   */
  async interrupt() {
    if (!this.#node || !this.playing) return [];
    this.playing = false;
    for (const item of this.#received.keys()) this.#interrupted.add(item);
    const id = ++this.#lastClear;
    const cleared = new Promise((resolve) => this.#clears.set(id, resolve));
    this.#node.port.postMessage({ type: "clear", id });
    const late = (this.#context.outputLatency || 0) * RATE; // played, and still on its way to the ear
    const cut = await cleared;
    return cut.map(({ item, index, played }) => ({ item, index, milliseconds: (Math.max(0, played - late) / RATE) * 1000 }));
  }

  #told(data) {
    switch (data.type) {
      case "cleared":
        this.#clears.get(data.id)(data.cut);
        this.#clears.delete(data.id);
        this.#received.clear();
        this.#tell("idle");
        break;
      case "idle":
        this.playing = false;
        this.#tell("idle");
        break;
      default:
        this.#tell(data.type, data);
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
