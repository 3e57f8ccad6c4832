/** The Talk button: hands-free or push to talk, how loud it is, and whose turn it is. */

/** Milliseconds that a push has to last: the server takes no shorter turn. */
const SHORTEST_PUSH = 200;
/** Samples of silence that end a turn which is still open when the microphone is switched off. */
const LAST_SILENCE = 24_000 * 2.5;
const CHUNK_MS = 40;

const NAMES = { idle: "Talk", listening: "Listening", hearing: "Listening", thinking: "Thinking", speaking: "Speaking" };

export class Talk {
  #with;
  #open = false;
  #pushedMs = 0;
  #held = false;
  #hearing = false;
  #thinking = false;
  #parts = Object.fromEntries(["dock", "talk", "talk-name", "talk-hint", "level", "stop"].map((id) => [id, document.getElementById(id)]));

  constructor(parts) {
    this.#with = parts;
    const { microphone, speaker, settings, client } = parts;
    this.#listenToButton(this.#parts.talk);
    microphone.addEventListener("chunk", ({ detail }) => this.#chunk(detail));
    microphone.addEventListener("lost", () => this.#lost());
    speaker.addEventListener("progress", ({ detail }) => this.#shine(detail.level));
    for (const type of ["started", "idle"]) speaker.addEventListener(type, () => this.#show());
    settings.addEventListener("change", () => this.#modeChanged());
    client.addEventListener("state", ({ detail }) => this.#stateChanged(detail.state));
    this.#show();
  }

  /** @param {object} event of the server: whose turn is it? */
  receive(event) {
    const before = [this.#hearing, this.#thinking].join();
    if (event.type === "input_audio_buffer.speech_started") this.#hearing = true;
    if (event.type === "input_audio_buffer.speech_stopped") this.#hearing = false;
    if (event.type === "response.created") this.#thinking = true;
    if (event.type === "response.done") this.#thinking = false;
    if (before !== [this.#hearing, this.#thinking].join()) this.#show();
  }

  get #push() {
    return this.#with.settings.pushToTalk;
  }

  #listenToButton(button) {
    button.addEventListener("click", () => !this.#push && this.#toggle());
    button.addEventListener("pointerdown", (event) => {
      if (!this.#push || event.button) return;
      button.setPointerCapture(event.pointerId);
      this.#press();
    });
    for (const type of ["pointerup", "pointercancel", "blur"]) button.addEventListener(type, () => this.#release());
    button.addEventListener("keydown", (event) => {
      if (!this.#push || event.repeat || ![" ", "Enter"].includes(event.key)) return;
      event.preventDefault();
      this.#press();
    });
    button.addEventListener("keyup", (event) => [" ", "Enter"].includes(event.key) && this.#release());
    button.addEventListener("contextmenu", (event) => this.#push && event.preventDefault()); // a long press on a phone
  }

  /** Resolves to whether we hear. */
  async #begin() {
    const { speaker, connection, microphone, transcript } = this.#with;
    try {
      await speaker.start();
      if (!(await connection.need())) return false;
      await microphone.start();
      return true;
    } catch (error) {
      const refused = error.name === "NotAllowedError";
      transcript.note(refused ? "The microphone is not allowed. Allow it beside the page's address, then press Talk." : error.message, "error");
      return false;
    }
  }

  async #toggle() {
    if (this.#open) return this.#close();
    this.#parts.talk.disabled = true;
    this.#open = await this.#begin();
    this.#parts.talk.disabled = false;
    this.#show();
  }

  async #close() {
    const wasOpen = this.#open && !this.#push;
    this.#open = this.#held = false;
    await this.#with.microphone.stop();
    if (wasOpen) this.#append(new Int16Array(LAST_SILENCE));
    this.#shine(0);
    this.#show();
  }

  async #press() {
    if (this.#held) return;
    this.#held = true;
    this.#pushedMs = 0;
    if (!(await this.#begin())) this.#held = false;
    if (!this.#held) return this.#show();
    const { client, interrupt } = this.#with;
    if (this.#thinking) client.cancelResponse();
    interrupt();
    client.clearAudio();
    this.#open = true;
    this.#show();
  }

  #release() {
    if (!this.#held) return;
    this.#held = false;
    if (!this.#open) return;
    this.#open = false;
    const { client, latency } = this.#with;
    if (this.#pushedMs < SHORTEST_PUSH) {
      client.clearAudio();
      this.#show();
      this.#parts["talk-hint"].textContent = "Hold it for as long as you speak";
      return;
    }
    client.commitAudio();
    client.createResponse();
    latency.begin("speech");
    this.#show();
  }

  #chunk({ pcm, level }) {
    if (!this.#open) return;
    this.#append(pcm);
    this.#pushedMs += CHUNK_MS;
    this.#parts.level.value = Math.min(1, level * 5);
    if (!this.#with.speaker.playing) this.#shine(level);
  }

  #append(pcm) {
    if (this.#with.client.appendAudio(pcm)) this.#with.latency.appended(pcm.length / 24);
  }

  #lost() {
    this.#open = this.#held = false;
    this.#with.transcript.note("The microphone was disconnected.", "warning");
    this.#show();
  }

  #modeChanged() {
    this.#close();
  }

  #stateChanged(state) {
    if (!["waiting", "closed"].includes(state)) return;
    this.#hearing = this.#thinking = false;
    if (state === "closed" || this.#held) this.#close(); // what was said into a lost connection is lost
    this.#show();
  }

  #shine(level) {
    document.documentElement.style.setProperty("--level", Math.min(1, level * 4).toFixed(3));
    if (!this.#open) this.#parts.level.value = 0;
  }

  #show() {
    const { speaker } = this.#with;
    const phase = speaker.playing ? "speaking" : this.#hearing ? "hearing" : this.#thinking ? "thinking" : this.#open ? "listening" : "idle";
    this.#parts.dock.dataset.phase = phase;
    this.#parts.talk.setAttribute("aria-pressed", this.#open);
    this.#parts["talk-name"].textContent = this.#push && phase === "idle" ? "Hold" : NAMES[phase];
    this.#parts["talk-hint"].textContent = this.#hint(phase);
    this.#parts.stop.hidden = !speaker.playing && !this.#thinking;
  }

  #hint(phase) {
    if (this.#push) return this.#open ? "Let go to send" : "Hold the button, or the space bar on it, while you speak";
    if (!this.#open) return "Press to start talking";
    return phase === "speaking" ? "Speak to interrupt · press to mute" : "Speak freely · press to mute";
  }
}
