import { element } from "./conversation.js";

/** The raw events, newest last: filtered, searched, opened one by one, and taken along as a transcript file. */

const MAX_EVENTS = 5000;
const MAX_SHOWN = 300;
const MAX_TEXT = 200;

export class Inspector {
  #list;
  #events = [];
  #filter = "";
  #sides = { "<": true, ">": true };
  #quiet = true;
  #paused = false;
  #began = performance.now();

  /** `list`: the element that holds the lines; `count`: the one that tells how many there are. */
  constructor(list, count) {
    this.#list = list;
    this.count = count;
  }

  /** `side`: `>` for the client's events, `<` for the server's. */
  add(side, event) {
    this.#events.push({ side, event, at: (performance.now() - this.#began) / 1000, text: null });
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    this.count.textContent = this.#events.length;
    if (!this.#paused && this.#matches(this.#events.at(-1))) this.#append(this.#events.at(-1));
  }

  set filter(text) {
    this.#filter = text.toLowerCase();
    this.#render();
  }

  /** Sound and tokens come by the hundred. */
  set quiet(is) {
    this.#quiet = is;
    this.#render();
  }

  show(side, is) {
    this.#sides[side] = is;
    this.#render();
  }

  set paused(is) {
    this.#paused = is;
    if (!is) this.#render();
  }

  clear() {
    this.#events = [];
    this.count.textContent = 0;
    this.#render();
  }

  /** Every event on a line: `+` seconds, then `>` or `<` and JSON, as the server's own tests are written. */
  transcript() {
    let last = 0;
    return this.#events
      .map(({ side, event, at }) => {
        const pause = at - last > 0.001 ? `+ ${(at - last).toFixed(3)}\n` : "";
        last = at;
        return `${pause}${side} ${JSON.stringify(event)}\n`;
      })
      .join("");
  }

  #matches(entry) {
    if (!this.#sides[entry.side]) return false;
    if (this.#quiet && /(\.delta|buffer\.append)$/.test(entry.event.type)) return false;
    if (!this.#filter) return true;
    entry.text ??= JSON.stringify(entry.event, shortened).toLowerCase();
    return entry.text.includes(this.#filter);
  }

  #append({ side, event, at }) {
    const line = element("details", side === ">" ? "sent" : "received");
    const head = element("summary", "");
    head.append(element("time", "", at.toFixed(2)), element("b", "", side === ">" ? "↑" : "↓"), element("span", "", event.type));
    line.append(head);
    line.ontoggle = () => line.childElementCount === 1 && line.append(element("pre", "", JSON.stringify(event, shortened, 2)));
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
    this.#list.append(line);
    while (this.#list.childElementCount > MAX_SHOWN) this.#list.firstElementChild.remove();
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #render() {
    this.#list.replaceChildren();
    this.#events.filter((entry) => this.#matches(entry)).slice(-MAX_SHOWN).forEach((entry) => this.#append(entry));
  }
}

/** Nobody reads megabytes of base64. */
function shortened(key, value) {
  return typeof value === "string" && value.length > 4 * MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
}
