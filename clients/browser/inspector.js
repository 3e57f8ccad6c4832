/** Every event that went either way: searched, filtered, opened, and saved as a transcript (`> {...}` sent, `< {...}` received). */

import { element } from "./transcript.js";

/** Events that are kept; the oldest go first. */
const MAX_EVENTS = 3000;
/** Of them, those that are shown: a browser slows down over more. */
const MAX_SHOWN = 400;
/** Characters of base64 and the like that are kept of each string: a second of sound is 64,000. */
const MAX_STRING = 2000;
/** Names of events that come dozens of times a second. */
const CONSTANT = new Set(["input_audio_buffer.append", "response.output_audio.delta", "input_image_buffer.append"]);

export class Inspector {
  #events = [];
  #parts;
  #due = false;

  /** @param {{list, direction, search, constant, count, save, clear, panel}} parts elements of the page */
  constructor(parts) {
    this.#parts = parts;
    for (const part of [parts.direction, parts.search, parts.constant]) part.addEventListener("input", () => this.draw());
    parts.clear.addEventListener("click", () => ((this.#events = []), this.draw()));
    parts.save.addEventListener("click", () => this.#save());
  }

  /** @param {">"|"<"} direction */
  add(direction, event) {
    this.#events.push({ direction, at: new Date(), type: event.type, text: JSON.stringify(event, shortened) });
    if (this.#events.length > MAX_EVENTS) this.#events.splice(0, this.#events.length - MAX_EVENTS);
    if (this.#due || this.#parts.panel.hidden) return;
    this.#due = true;
    requestAnimationFrame(() => this.draw());
  }

  get chosen() {
    const [direction, words] = [this.#parts.direction.value, this.#parts.search.value.trim().toLowerCase()];
    return this.#events.filter(
      (event) =>
        (direction === "all" || event.direction === direction) &&
        (this.#parts.constant.checked || !CONSTANT.has(event.type)) &&
        (!words || event.text.toLowerCase().includes(words)),
    );
  }

  /** How many events of that type were sent, and received. */
  sent(type) {
    return this.#events.filter((event) => event.direction === ">" && event.type === type).length;
  }

  received(type) {
    return this.#events.filter((event) => event.direction === "<" && event.type === type).length;
  }

  /** As tests and people read it: a line for each event. */
  get transcript() {
    return this.chosen.map(({ direction, text }) => `${direction} ${text}\n`).join("");
  }

  draw() {
    this.#due = false;
    const { chosen } = this;
    this.#parts.count.textContent = `${chosen.length} of ${this.#events.length} events`;
    const rows = chosen.slice(-MAX_SHOWN).reverse();
    const drawn = new Map([...this.#parts.list.children].map((node) => [node.event, node]));
    this.#parts.list.replaceChildren(...rows.map((event) => drawn.get(event) ?? row(event)));
  }

  #save() {
    const address = URL.createObjectURL(new Blob([this.transcript], { type: "application/jsonl" }));
    const name = `realtime-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jsonl`;
    Object.assign(element("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
}

function row(event) {
  const item = element("li", event.direction === ">" ? "sent" : "received");
  item.event = event;
  const details = element("details");
  const summary = element("summary");
  const arrow = element("span", "arrow", event.direction === ">" ? "↑" : "↓");
  arrow.setAttribute("aria-label", event.direction === ">" ? "sent" : "received");
  const time = element("time", "", event.at.toISOString().slice(11, 23));
  summary.append(arrow, element("code", "", event.type), time);
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.querySelector("pre")) details.append(element("pre", "", JSON.stringify(JSON.parse(event.text), null, 2)));
  });
  item.append(details);
  return item;
}

function shortened(_key, value) {
  if (typeof value !== "string" || value.length <= MAX_STRING) return value;
  return `${value.slice(0, 60)}… (${value.length.toLocaleString("en")} characters)`;
}
