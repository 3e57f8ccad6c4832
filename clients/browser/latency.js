/** How long each turn took: from the end of speech to its transcript, to the first token, to the first sound. */

import { element } from "./transcript.js";

const STAGES = [
  ["transcript", "Transcript"],
  ["token", "First token"],
  ["sound", "First sound"],
];
/** Turns that are kept. */
const MAX_TURNS = 30;
/** Milliseconds between the end of speech and word of it that can be true; past it the clocks don't belong together. */
const MAX_SILENCE = 10_000;

/** What is measured: `{start, transcript, token, sound}`, the last three in milliseconds since the start, or null. */
export class Latency extends EventTarget {
  turns = [];
  #clock;
  /** Milliseconds of sound that were appended in this session, for the server counts time in them. */
  #appended = 0;

  constructor(clock = () => performance.now()) {
    super();
    this.#clock = clock;
  }

  appended(milliseconds) {
    this.#appended += milliseconds;
  }

  newSession() {
    this.#appended = 0;
  }

  /** A turn ends now, or ended `ago` milliseconds before. */
  begin(how, ago = 0) {
    this.turns.push({ how, start: this.#clock() - ago, transcript: null, token: null, sound: null });
    this.turns.splice(0, this.turns.length - MAX_TURNS);
    this.#changed();
  }

  receive(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_stopped": {
        const ago = this.#appended - event.audio_end_ms;
        this.begin("speech", ago >= 0 && ago < MAX_SILENCE ? ago : 0);
        break;
      }
      case "conversation.item.input_audio_transcription.completed":
        this.mark("transcript");
        break;
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
      case "response.function_call_arguments.delta":
        this.mark("token");
        break;
    }
  }

  /** The first time of each turn counts. */
  mark(stage) {
    const turn = this.turns.at(-1);
    if (!turn || turn[stage] !== null) return;
    turn[stage] = Math.max(0, Math.round(this.#clock() - turn.start));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}

/** Bars, newest turn first, with the figures beside them: nobody has to tell colors apart. */
export class LatencyChart {
  #box;
  #latency;

  constructor(latency, box) {
    this.#box = box;
    this.#latency = latency;
    latency.addEventListener("change", () => this.#draw());
  }

  #draw() {
    const { turns } = this.#latency;
    const longest = Math.max(500, ...turns.map((turn) => Math.max(turn.transcript, turn.token, turn.sound)));
    this.#box.replaceChildren(...turns.map((turn, index) => row(turn, index + 1, longest)).reverse());
  }
}

function row(turn, number, longest) {
  const item = element("li", "turn");
  item.append(element("span", "number", `${turn.how === "speech" ? "Spoken" : "Written"} turn ${number}`));
  const figures = element("dl");
  const bars = element("div", "bars");
  bars.setAttribute("aria-hidden", "true");
  for (const [stage, name] of STAGES) {
    const value = turn[stage];
    if (value === null) continue;
    const bar = element("div", `bar ${stage}`);
    bar.style.width = `${(100 * value) / longest}%`;
    bars.append(bar);
    const pair = element("div", stage);
    pair.append(element("dt", "", name), element("dd", "", `${value.toLocaleString("en")} ms`));
    figures.append(pair);
  }
  item.append(bars, figures);
  return item;
}
