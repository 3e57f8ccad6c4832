/** The conversation as people read it: one bubble an item, in order, filled while it is spoken or written. */

const WORDS = new Set([
  "response.output_text.delta",
  "response.output_audio_transcript.delta",
  "conversation.item.input_audio_transcription.delta",
]);

export class Conversation {
  #list;
  #bubbles = new Map();

  /** `list`: the element that holds the bubbles. */
  constructor(list) {
    this.#list = list;
  }

  /** Take any server event. */
  receive(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        this.#bubble(event.item_id, "user").classList.add("live");
        break;
      case "conversation.item.added":
      case "conversation.item.done":
        this.#show(event.item);
        break;
      case "conversation.item.truncated":
        this.#bubbles.get(event.item_id)?.classList.add("cut");
        break;
      case "conversation.item.deleted":
        this.#bubbles.get(event.item_id)?.remove();
        this.#bubbles.delete(event.item_id);
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#write(event.item_id, event.transcript || "(nothing that could be understood)");
        break;
      case "conversation.item.input_audio_transcription.failed":
        this.#write(event.item_id, "(could not be transcribed)");
        break;
      case "response.output_text.done":
        this.#write(event.item_id, event.text);
        break;
      case "response.output_audio_transcript.done":
        this.#write(event.item_id, event.transcript);
        break;
      case "response.done":
        this.#end(event.response);
        break;
      default:
        if (WORDS.has(event.type)) this.#add(event.item_id, event.delta);
    }
  }

  /** A line between bubbles. */
  note(text, kind = "") {
    const line = element("li", `note ${kind}`, text);
    this.#list.append(line);
    this.#follow(line);
  }

  clear() {
    this.#list.replaceChildren();
    this.#bubbles.clear();
  }

  #bubble(id, role) {
    if (!this.#bubbles.has(id)) {
      const bubble = element("li", `bubble ${role}`);
      bubble.dataset.item = id;
      bubble.append(element("span", "who", role === "user" ? "You" : role === "assistant" ? "Model" : role), element("p", "words"));
      this.#bubbles.set(id, bubble);
      this.#list.append(bubble);
      this.#follow(bubble);
    }
    return this.#bubbles.get(id);
  }

  #show(item) {
    if (item.type === "message") this.#showMessage(item);
    else if (item.type === "function_call") this.#showLine(item, `${item.name}(${item.arguments === "{}" ? "" : item.arguments})`);
    else if (item.type === "function_call_output") this.#showLine(item, `→ ${item.output}`);
    else if (item.type === "mcp_call") this.#showLine(item, `${item.server_label}.${item.name}`);
  }

  #showMessage(item) {
    const bubble = this.#bubble(item.id, item.role);
    bubble.classList.toggle("live", item.status === "in_progress");
    bubble.classList.toggle("cut", item.status === "incomplete");
    const words = item.content.map((part) => part.text ?? part.transcript ?? "").filter(Boolean);
    if (words.length) this.#write(item.id, words.join("\n"));
    else if (item.role === "user" && item.content.some((part) => part.type === "input_audio")) bubble.classList.add("live");
    for (const { image_url: url } of item.content.filter((part) => part.type === "input_image")) this.#picture(bubble, url);
  }

  #picture(bubble, url) {
    if (!url?.startsWith("data:") || [...bubble.querySelectorAll("img")].some((image) => image.src === url)) return;
    bubble.append(Object.assign(element("img", ""), { src: url, alt: "A picture that you sent" }));
  }

  #showLine(item, text) {
    const bubble = this.#bubble(item.id, "tool");
    bubble.querySelector(".who").textContent = "Tool";
    bubble.querySelector(".words").textContent = text;
  }

  #write(id, text) {
    const bubble = this.#bubbles.get(id);
    if (!bubble) return;
    bubble.classList.remove("live");
    bubble.querySelector(".words").textContent = text.trim();
    this.#follow(bubble);
  }

  #add(id, delta) {
    const bubble = this.#bubble(id, "assistant");
    const words = bubble.querySelector(".words");
    words.textContent = (words.textContent + delta).trimStart();
    this.#follow(bubble);
  }

  #end({ status, status_details: details, output }) {
    for (const item of output) this.#bubbles.get(item.id)?.classList.toggle("cut", status === "cancelled");
    if (status === "failed") this.note(details?.error?.message ?? "The answer failed.", "bad");
    if (status === "incomplete") this.note(`The answer was cut: ${details?.reason ?? "no reason given"}.`);
  }

  /** Whoever reads what was said before is left to it. */
  #follow(line) {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < 200) line.scrollIntoView({ block: "end" });
  }
}

export function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
