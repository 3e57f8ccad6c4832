import { element } from "./conversation.js";

/** How long each turn took, from the end of speech (or from the click) to the transcript, the first token and the first sound. */

const MAX_TURNS = 20;
const STAGES = [
  ["transcript", "Transcript"],
  ["token", "First token"],
  ["sound", "First sound"],
];

export class Latency {
  #list;
  #turns = [];
  #waiting = null;

  constructor(list) {
    this.#list = list;
  }

  /** Take any event, the client's own too; `now` in ms. */
  receive(event, now = performance.now()) {
    switch (event.type) {
      case "input_audio_buffer.speech_stopped":
        this.#begin("spoken", now);
        break;
      case "response.create":
        if (!this.#waiting) this.#begin("typed", now);
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#mark("transcript", now);
        break;
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
        this.#mark("token", now);
        break;
      case "response.done":
        if (!event.response.output.some((item) => item.content?.some((part) => part.type === "output_audio"))) this.#waiting = null;
        break;
      case "input_audio_buffer.speech_started":
        this.#waiting = null;
    }
  }

  /** The speaker plays the first sample of an answer. */
  sounded(now = performance.now()) {
    this.#mark("sound", now);
    this.#waiting = null;
  }

  #begin(how, now) {
    this.#waiting = { how, began: now };
    this.#turns.push(this.#waiting);
    if (this.#turns.length > MAX_TURNS) this.#turns.shift();
  }

  #mark(stage, now) {
    const turn = this.#waiting ?? (stage === "transcript" ? this.#turns.at(-1) : null);
    if (!turn || stage in turn) return;
    turn[stage] = Math.round(now - turn.began);
    this.#render();
  }

  #render() {
    const longest = Math.max(1, ...this.#turns.flatMap((turn) => STAGES.map(([stage]) => turn[stage] ?? 0)));
    const rows = this.#turns.map((turn, index) => {
      const row = element("li", "");
      const told = STAGES.filter(([stage]) => stage in turn).map(([stage, name]) => `${name.toLowerCase()} ${turn[stage]} ms`);
      row.append(element("span", "turn", `${index + 1} ${turn.how}`));
      const bars = element("span", "bars");
      bars.setAttribute("role", "img");
      bars.setAttribute("aria-label", `Turn ${index + 1}: ${told.join(", ")}`);
      for (const [stage, name] of STAGES.filter(([stage]) => stage in turn)) {
        const bar = element("span", `bar ${stage}`, `${turn[stage]} ms`);
        bar.title = `${name}: ${turn[stage]} ms`;
        bar.style.width = `${Math.max(6, (100 * turn[stage]) / longest)}%`;
        bars.append(bar);
      }
      row.append(bars);
      return row;
    });
    this.#list.replaceChildren(...rows.reverse());
  }
}
