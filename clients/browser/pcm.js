/** 16-bit little-endian mono PCM, as it travels: samples, bytes and base64. */

/** Samples a second of the protocol's `audio/pcm`. */
export const RATE = 24000;

/** @param {Float32Array} samples full scale +-1 @returns {Int16Array} */
export function toPcm(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    const sample = Math.max(-1, Math.min(1, samples[i]));
    pcm[i] = sample < 0 ? sample * 0x8000 : sample * 0x7fff;
  }
  return pcm;
}

/** @param {Int16Array} pcm @returns {Float32Array} full scale +-1 */
export function fromPcm(pcm) {
  const samples = new Float32Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) samples[i] = pcm[i] / 0x8000;
  return samples;
}

/** @param {ArrayBufferView} view @returns {string} base64 of its bytes */
export function toBase64(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const pieces = [];
  // In pieces: a call takes no more than some ten thousand arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) pieces.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(pieces.join(""));
}

/** @param {string} text base64 of 16-bit samples; an odd last byte is left out @returns {Int16Array} */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length & ~1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}
