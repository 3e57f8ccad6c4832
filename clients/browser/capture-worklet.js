/** What the microphone hears, in pieces of 20 ms at the context's rate: PCM16, and how loud it is. */
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(sampleRate / 50);
    this.length = 0;
    this.power = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.piece[this.length++] = Math.max(-1, Math.min(1, sample)) * 32767;
      this.power += sample * sample;
      if (this.length === this.piece.length) this.flush();
    }
    return true;
  }

  flush() {
    const level = Math.sqrt(this.power / this.length);
    this.port.postMessage({ samples: this.piece, level }, [this.piece.buffer]);
    this.piece = new Int16Array(sampleRate / 50);
    this.length = this.power = 0;
  }
}

registerProcessor("capture", Capture);
