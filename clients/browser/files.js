/** Files that somebody chose, pasted or dropped, as parts of a message. */

import { RATE, toBase64, toPcm } from "./pcm.js";

/** Bytes of a file that the server takes by default (`MAX_MEDIA_BYTES`). */
const MAX_FILE = 64 * 1024 * 1024;
/** Bytes of sound that the server takes in one event. */
const MAX_SOUND = 15 * 1024 * 1024;

/**
 * @param {File} file
 * @returns {Promise<{name: string, kind: string, part: object, preview: string}>} `preview`: an address of a picture, or nothing
 * Rejects, with a reason for people, where the file can't be sent.
 */
export async function attachment(file) {
  const kind = file.type.split("/")[0];
  const name = file.name || `pasted ${kind}`;
  if (file.size > MAX_FILE) throw new Error(`${name} is larger than 64 MB.`);
  switch (kind) {
    case "image": {
      const url = await dataUri(file);
      return { name, kind, part: { type: "input_image", image_url: url }, preview: url };
    }
    case "video":
      return { name, kind, part: { type: "input_video", video: await dataUri(file) }, preview: "" };
    case "audio":
      return { name, kind, part: { type: "input_audio", audio: await sound(file) }, preview: "" };
    default:
      throw new Error(`${name} is neither a picture nor a sound nor a video.`);
  }
}

/** Base64 of PCM16 at 24 kHz, or of the file itself where the browser can't read it: the server knows more formats. */
async function sound(file) {
  const bytes = await file.arrayBuffer();
  let pcm;
  try {
    // decodeAudioData resamples to the rate of its context; it takes the bytes away, hence the copy.
    const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes.slice(0));
    pcm = toPcm(mono(decoded));
  } catch {
    pcm = new Uint8Array(bytes);
  }
  if (pcm.byteLength > MAX_SOUND) throw new Error(`${file.name} is longer than five minutes.`);
  return toBase64(pcm);
}

function mono(buffer) {
  const mixed = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / buffer.numberOfChannels;
  }
  return mixed;
}

function dataUri(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} can't be read: ${reader.error.message}`));
    reader.readAsDataURL(file);
  });
}
