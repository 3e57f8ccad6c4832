/** Which tools the model may call, and the calls it makes: run in the page, or answered by the person. */

import { DEMO } from "./tools.js";
import { element } from "./transcript.js";

export class ToolPanel {
  #with;
  /** Calls of each response that have not returned. */
  #pending = new Map();

  constructor(parts) {
    this.#with = parts;
    this.#list(document.getElementById("demo-tools"));
    const own = document.getElementById("own-tools");
    own.addEventListener("change", () => this.#describe(own.value));
  }

  #list(box) {
    const { tools } = this.#with;
    for (const { name, description } of DEMO) {
      const label = element("label", "check");
      const input = Object.assign(element("input"), { type: "checkbox", name, checked: tools.on.has(name) });
      input.addEventListener("change", () => tools.turn(name, input.checked));
      const words = element("span");
      words.append(element("code", "", name), element("small", "", description));
      label.append(input, words);
      box.append(label);
    }
  }

  #describe(text) {
    const error = document.getElementById("own-tools-error");
    try {
      this.#with.tools.describe(text.trim() ? JSON.parse(text) : []);
      error.textContent = "";
    } catch (cause) {
      error.textContent = `Not read: ${cause.message}`;
    }
  }

  /** @param {object} response that is done: have its calls answered, then ask for the next */
  async respond(response) {
    const calls = response.status === "completed" ? response.output.filter(({ type }) => type === "function_call") : [];
    const pending = new Set(calls.map(({ call_id }) => call_id));
    for (const { call_id } of calls) this.#pending.set(call_id, pending);
    for (const { id, name, call_id, arguments: text } of calls) {
      if (this.#with.tools.has(name)) this.answer(call_id, await this.#with.tools.call(name, text));
      else this.#with.transcript.askFor({ id, name, callId: call_id });
    }
  }

  answer(callId, output) {
    const pending = this.#pending.get(callId);
    this.#pending.delete(callId);
    pending?.delete(callId);
    this.#with.client.sendToolOutput(callId, output);
    if (pending?.size === 0) this.#with.client.createResponse();
  }
}
