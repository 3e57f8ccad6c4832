/** In the audio thread: what the microphone hears, mono at 24 kHz, in chunks of 40 ms with their level. */

const RATE = 24000;
const CHUNK = 960;

class Capture extends AudioWorkletProcessor {
  #chunk = new Float32Array(CHUNK);
  #filled = 0;
  /** Input samples for each output sample; 1 where the browser resamples by itself. */
  #step = sampleRate / RATE;
  /** Of the output sample that is being made: what has been summed, and how much of it. */
  #sum = 0;
  #weight = 0;

  process([channels]) {
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i] / channels.length;
      if (this.#step === 1) this.#put(sample);
      else this.#average(sample);
    }
    return true;
  }

  /** The mean over each output sample's time: what is above its pitch is damped, and the ear behind it listens to speech alone. */
  #average(sample) {
    let left = 1;
    while (this.#weight + left >= this.#step) {
      const part = this.#step - this.#weight;
      this.#put((this.#sum + sample * part) / this.#step);
      left -= part;
      this.#sum = this.#weight = 0;
    }
    this.#sum += sample * left;
    this.#weight += left;
  }

  #put(sample) {
    this.#chunk[this.#filled++] = sample;
    if (this.#filled < CHUNK) return;
    let energy = 0;
    for (const each of this.#chunk) energy += each * each;
    const samples = this.#chunk;
    this.port.postMessage({ samples, level: Math.sqrt(energy / CHUNK) }, [samples.buffer]);
    this.#chunk = new Float32Array(CHUNK);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
