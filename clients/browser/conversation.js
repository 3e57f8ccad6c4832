/**
 * Both sides of the conversation as the server tells it, without any UI. Items go by their ids, so whatever is told twice (after a
 * reconnection) changes nothing.
 *
 * Fires `change` with the item, `removed` with its id, `finished` with an item that will not change any more.
 */

/**
 * @typedef {object} Entry
 * @property {string} id
 * @property {"user"|"assistant"|"system"|"call"|"output"} who
 * @property {string} text what was said or written
 * @property {string} unheard what was written down after it, and not heard any more
 * @property {string[]} images addresses of pictures
 * @property {boolean} spoken was it said aloud?
 * @property {"pending"|"live"|"done"|"cut"|"failed"} state `pending`: heard, and not written down yet; `cut`: interrupted
 * @property {string} name of a function; `text` has its arguments, or its result
 * @property {string} callId
 */

export class Conversation extends EventTarget {
  /** @type {Map<string, Entry>} in the order in which they came */
  #entries = new Map();
  /** Parts of each item's text, by content index. */
  #parts = new Map();

  get entries() {
    return [...this.#entries.values()];
  }

  clear() {
    for (const id of [...this.#entries.keys()]) this.#remove(id);
  }

  /** @param {object} event of the server */
  receive(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
      case "input_audio_buffer.committed":
        if (!this.#entries.has(event.item_id)) this.#change(event.item_id, { who: "user", spoken: true, state: "pending" });
        break;
      case "conversation.item.added":
      case "conversation.item.done":
      case "response.output_item.added":
      case "response.output_item.done":
        this.#item(event.item, event.type.endsWith(".done"));
        break;
      case "conversation.item.input_audio_transcription.delta":
        this.#grow(event, { state: "live" });
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#heard(event);
        break;
      case "conversation.item.input_audio_transcription.failed":
        this.#change(event.item_id, { state: "failed", text: event.error.message });
        break;
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
      case "response.function_call_arguments.delta":
        this.#grow(event, { state: "live" });
        break;
      case "conversation.item.truncated":
        if (this.#entries.has(event.item_id)) this.#change(event.item_id, { state: "cut", heard: event.audio_end_ms });
        break;
      case "conversation.item.retrieved":
        this.#kept(event.item);
        break;
      case "conversation.item.deleted":
        this.#remove(event.item_id);
        break;
    }
  }

  /** What a turn came to: nothing, where only a noise was heard. */
  #heard({ item_id, content_index, transcript }) {
    this.#parts.set(item_id, new Map(this.#parts.get(item_id)).set(content_index, transcript));
    this.#change(item_id, { text: this.#joined(item_id), state: "done" });
    this.#finish(item_id);
  }

  /** What the server keeps of an answer that was cut: the rest was never heard, and the model does not know it. */
  #kept(item) {
    const [known, shown] = [this.#entries.get(item.id), told(item)];
    if (known?.state !== "cut" || !shown?.text || !known.text.startsWith(shown.text)) return;
    this.#change(item.id, { text: shown.text, unheard: known.text.slice(shown.text.length) });
  }

  #item(item, done) {
    const shown = told(item);
    if (!shown) return;
    const known = this.#entries.get(item.id);
    if (known?.state === "cut") shown.text ||= known.text;
    const partial = !done || (shown.spoken && shown.who === "user" && shown.parts.every((part) => part === null));
    for (const [index, part] of shown.parts.entries()) {
      if (part) this.#parts.set(item.id, new Map(this.#parts.get(item.id)).set(index, part));
    }
    const { parts, ...fields } = shown;
    fields.text ||= known?.text ?? "";
    fields.images = fields.images.length ? fields.images : (known?.images ?? []);
    const cut = known?.state === "cut" || (done && item.status === "incomplete");
    if (shown.who === "user" && shown.spoken && partial) fields.state = known?.state ?? "pending";
    else fields.state = cut ? "cut" : done ? "done" : (known?.state ?? "live");
    this.#change(item.id, fields);
    if (done && fields.state !== "pending") this.#finish(item.id);
  }

  #grow(event, fields) {
    const parts = this.#parts.get(event.item_id) ?? new Map();
    const index = event.content_index ?? 0;
    this.#parts.set(event.item_id, parts.set(index, (parts.get(index) ?? "") + event.delta));
    const known = this.#entries.get(event.item_id);
    if (known?.finished) return;
    this.#change(event.item_id, { ...fields, text: this.#joined(event.item_id) });
  }

  #joined(id) {
    return [...(this.#parts.get(id) ?? new Map()).entries()].sort(([a], [b]) => a - b).map(([, text]) => text).join(" ");
  }

  #change(id, fields) {
    const blank = { id, who: "assistant", text: "", unheard: "", images: [], spoken: false, state: "live", name: "", callId: "", finished: false };
    const entry = { ...blank, ...this.#entries.get(id), ...fields };
    this.#entries.set(id, entry);
    this.dispatchEvent(new CustomEvent("change", { detail: entry }));
  }

  #finish(id) {
    const entry = this.#entries.get(id);
    if (entry.finished) return;
    entry.finished = true;
    this.dispatchEvent(new CustomEvent("finished", { detail: entry }));
  }

  #remove(id) {
    this.#parts.delete(id);
    if (this.#entries.delete(id)) this.dispatchEvent(new CustomEvent("removed", { detail: id }));
  }
}

/** An item as an entry's fields; null where nobody has to see it. */
function told(item) {
  if (item.type === "function_call") {
    return { ...plain("call", item.arguments), name: item.name, callId: item.call_id };
  }
  if (item.type === "function_call_output") return { ...plain("output", item.output), callId: item.call_id };
  if (item.type === "mcp_call") {
    const came = item.output ?? item.error?.message ?? "";
    return { ...plain("call", item.arguments + (came && `\n${came}`)), name: `${item.server_label}: ${item.name}` };
  }
  if (item.type !== "message") return null;
  const parts = item.content.map((part) => part.text ?? part.transcript ?? null);
  return {
    who: item.role,
    parts,
    text: parts.filter(Boolean).join(" "),
    images: item.content.filter((part) => part.image_url).map((part) => part.image_url),
    spoken: item.content.some((part) => part.type.endsWith("_audio")),
  };
}

function plain(who, text) {
  return { who, parts: [text], text, images: [], spoken: false };
}
