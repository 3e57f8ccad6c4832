import { RATE } from "./pcm.js";

/** The loudspeaker. It knows, for each item of the conversation, how much of its sound was heard. */
export class Speaker {
  #context = null;
  #node = null;
  #starting = null;
  #heard = new Map();
  #cleared = [];

  constructor({ onLevel = () => {}, onFirstSound = () => {} } = {}) {
    this.onLevel = onLevel;
    this.onFirstSound = onFirstSound;
    this.playing = null;
    /** Sum of the levels that were played: above nothing, something was heard. */
    this.energy = 0;
  }

  /** Browsers let a page sound only after a click or a key: call it from one. */
  start() {
    this.#starting ??= this.#start();
    return this.#starting.then(() => this.#context.resume());
  }

  async #start() {
    this.#context = new AudioContext({ sampleRate: RATE });
    await this.#context.audioWorklet.addModule(new URL("./playback-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#played(data);
    this.#node.connect(this.#context.destination);
  }

  /** Play PCM16 at 24 kHz after all that was given before. */
  async play(item, sound) {
    await this.start();
    if (this.playing === null) this.playing = item;
    this.#node.port.postMessage({ item, sound }, [sound.buffer]);
  }

  /** Be silent at once. Resolves with the item that was playing and how many ms of it were heard; null where nothing played. */
  async stop() {
    if (this.playing === null || !this.#node) return null;
    this.#node.port.postMessage({ clear: true });
    return new Promise((resolve) => this.#cleared.push(resolve));
  }

  #played({ item, samples, level, idle, cleared = false }) {
    this.energy += level;
    this.onLevel(idle ? 0 : level);
    if (item !== null && samples && !this.#heard.has(item)) this.onFirstSound(item);
    if (item !== null) this.#heard.set(item, samples);
    const was = this.playing;
    this.playing = idle ? null : item;
    if (cleared) this.#cleared.shift()?.(was === null || item === null ? null : { item, ms: (samples * 1000) / RATE });
  }
}
