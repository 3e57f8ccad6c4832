/** In the audio thread: plays what is pushed, in order, and counts what of each piece was played. */

/** Blocks of 128 samples between two reports: 43 ms. */
const REPORT = 8;

class Playback extends AudioWorkletProcessor {
  /** Pieces of `{item, index, samples}`. */
  #queue = [];
  /** Samples of the first piece that were played. */
  #at = 0;
  /** Samples of each item that were played, since its first. */
  #played = new Map();
  #playing = null;
  #block = 0;
  #energy = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => (data.type === "clear" ? this.#clear(data.id) : this.#queue.push(data));
  }

  process(_inputs, [[out]]) {
    let filled = 0;
    while (filled < out.length && this.#queue.length) filled += this.#copy(out, filled);
    for (const sample of out) this.#energy += sample * sample;
    if (++this.#block % REPORT === 0) this.#report();
    if (!this.#queue.length && this.#playing !== null) {
      this.#playing = null;
      this.port.postMessage({ type: "idle" });
    }
    return true;
  }

  /** Returns how many samples of the first piece went out. */
  #copy(out, filled) {
    const { item, index, samples } = this.#queue[0];
    if (item !== this.#playing) {
      this.#playing = item;
      this.port.postMessage({ type: "started", item, index });
    }
    const count = Math.min(out.length - filled, samples.length - this.#at);
    out.set(samples.subarray(this.#at, this.#at + count), filled);
    this.#at += count;
    this.#played.set(item, (this.#played.get(item) ?? 0) + count);
    if (this.#at >= samples.length) {
      this.#queue.shift();
      this.#at = 0;
    }
    return count;
  }

  #report() {
    const level = Math.sqrt(this.#energy / (REPORT * 128));
    this.#energy = 0;
    const item = this.#playing;
    if (item !== null || level > 0) this.port.postMessage({ type: "progress", item, played: this.#played.get(item) ?? 0, level });
  }

  /** Silence at once; tells what of the items that were cut had been played, 0 for those that had not begun. */
  #clear(id) {
    const cut = new Map();
    for (const { item, index } of this.#queue) cut.set(item, { item, index, played: this.#played.get(item) ?? 0 });
    this.#queue = [];
    this.#at = 0;
    this.#playing = null;
    this.port.postMessage({ type: "cleared", id, cut: [...cut.values()] });
  }
}

registerProcessor("playback", Playback);
