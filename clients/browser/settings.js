/** What somebody chose in the form, as the protocol's session, and kept for the next visit. The key is kept for this tab alone. */

const KEPT = "realtime-settings";
const KEY = "realtime-key";

export class Settings extends EventTarget {
  #form;

  /** @param {HTMLFormElement} form its fields are named as they are read below */
  constructor(form) {
    super();
    this.#form = form;
    this.#restore();
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#changed());
    this.#show();
  }

  value(name) {
    const field = this.#form.elements[name];
    return field.type === "checkbox" ? field.checked : field.value;
  }

  get key() {
    return this.value("key").trim();
  }

  get url() {
    const given = this.value("url").trim();
    if (given) return given;
    const here = new URL("v1/realtime", document.baseURI);
    here.protocol = here.protocol.replace("http", "ws");
    return here.href;
  }

  get pushToTalk() {
    return this.value("talk") === "push";
  }

  /** For `session.update`. */
  get session() {
    const language = this.value("language").trim();
    return {
      instructions: this.value("instructions"),
      output_modalities: [this.value("modality")],
      audio: {
        input: {
          format: { type: "audio/pcm", rate: 24000 },
          transcription: { model: "whisper-1", language: language || null },
          turn_detection: this.#turnDetection(),
        },
        output: { format: { type: "audio/pcm", rate: 24000 }, voice: this.value("voice") || "alloy", speed: Number(this.value("speed")) },
      },
    };
  }

  #turnDetection() {
    if (this.pushToTalk) return null;
    const interrupt_response = this.value("interrupt");
    if (this.value("turns") === "semantic_vad") {
      return { type: "semantic_vad", eagerness: this.value("eagerness"), create_response: true, interrupt_response };
    }
    const [threshold, silence_duration_ms] = [Number(this.value("threshold")), Number(this.value("silence"))];
    return { type: "server_vad", threshold, silence_duration_ms, create_response: true, interrupt_response };
  }

  #changed() {
    const fields = [...this.#form.elements].filter(({ name, type }) => name && name !== "key" && !(type === "radio"));
    const kept = Object.fromEntries(fields.map((field) => [field.name, this.value(field.name)]));
    localStorage.setItem(KEPT, JSON.stringify({ ...kept, talk: this.value("talk") }));
    sessionStorage.setItem(KEY, this.value("key"));
    this.#show();
    this.dispatchEvent(new CustomEvent("change"));
  }

  #restore() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    } catch {
      localStorage.removeItem(KEPT); // from another version of the page
    }
    for (const [name, value] of Object.entries(kept)) {
      const field = this.#form.elements[name];
      if (!field) continue;
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
    }
    this.#form.elements.key.value = sessionStorage.getItem(KEY) ?? "";
  }

  /** Only what counts under the chosen turn detection. */
  #show() {
    const chosen = this.pushToTalk ? "none" : this.value("turns");
    for (const part of this.#form.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(chosen);
    for (const output of this.#form.querySelectorAll("output")) output.textContent = output.dataset.unit.replace("#", this.value(output.htmlFor[0] ?? ""));
  }
}

/** What of `wanted` is not in `told`. Objects with a `type` are whole, for the server must know of which type they are. */
export function changes(told, wanted) {
  const patch = {};
  for (const [key, value] of Object.entries(wanted)) {
    if (JSON.stringify(value) === JSON.stringify(told?.[key])) continue;
    const deep = value && told?.[key] && typeof value === "object" && !Array.isArray(value) && !value.type;
    patch[key] = deep ? changes(told[key], value) : value;
  }
  return patch;
}
