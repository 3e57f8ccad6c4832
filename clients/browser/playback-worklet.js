/** A queue of sound that tells how much of it was played: {item, samples} twenty times a second, and an `idle` when it runs dry. */
class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.at = 0;
    this.item = null;
    this.samples = 0;
    this.since = 0;
    this.port.onmessage = ({ data }) => (data.clear ? this.clear() : this.queue.push(data));
  }

  process(_, [[output]]) {
    let filled = 0;
    let power = 0;
    while (filled < output.length && this.queue.length) {
      const { item, sound } = this.queue[0];
      if (item !== this.item) {
        this.item = item;
        this.samples = 0;
      }
      const count = Math.min(output.length - filled, sound.length - this.at);
      for (let index = 0; index < count; index++) {
        const sample = sound[this.at + index] / 32768;
        output[filled + index] = sample;
        power += sample * sample;
      }
      filled += count;
      this.at += count;
      this.samples += count;
      if (this.at === sound.length) {
        this.queue.shift();
        this.at = 0;
      }
    }
    this.since += output.length;
    const dry = filled > 0 && !this.queue.length;
    if (filled && (dry || this.since >= sampleRate / 20)) {
      this.since = 0;
      this.port.postMessage({ item: this.item, samples: this.samples, level: Math.sqrt(power / output.length), idle: dry });
    }
    return true;
  }

  clear() {
    this.queue = [];
    this.at = 0;
    this.port.postMessage({ item: this.item, samples: this.samples, level: 0, idle: true, cleared: true });
  }
}

registerProcessor("playback", Playback);
