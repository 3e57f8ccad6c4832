/** The connection on the page: its button, its light, and what happened to it, in words. */

/** The session of this tab, so that a page that is loaded again goes on with it. */
const SESSION = "realtime-session";

const TOLD = {
  closed: () => "Not connected",
  connecting: ({ attempt }) => (attempt ? `Connecting again (attempt ${attempt}) …` : "Connecting …"),
  open: () => "Connected",
  waiting: ({ delay }) => `Connection lost, trying again in ${Math.max(1, Math.round(delay / 1000))} s`,
};

export class Connection {
  #client;
  #settings;
  #transcript;
  #lost = false;

  constructor(client, settings, transcript) {
    this.#client = client;
    this.#settings = settings;
    this.#transcript = transcript;
    client.sessionId = sessionStorage.getItem(SESSION);
    client.addEventListener("state", ({ detail }) => this.#show(detail));
    client.addEventListener("session", ({ detail }) => this.#begun(detail));
    this.button.addEventListener("click", () => (client.state === "closed" ? this.need() : client.disconnect()));
    window.addEventListener("online", () => client.retry());
  }

  button = document.getElementById("connect");

  /** Resolves to whether there is a session now. Why there is none has been told. */
  async need() {
    if (this.#client.state === "open") return true;
    Object.assign(this.#client, { url: this.#settings.url, key: this.#settings.key });
    try {
      await this.#client.connect();
      return true;
    } catch {
      return false;
    }
  }

  #show(detail) {
    const status = document.getElementById("status");
    status.dataset.state = detail.state;
    document.getElementById("status-text").textContent = TOLD[detail.state](detail);
    this.button.textContent = detail.state === "closed" ? "Connect" : "Disconnect";
    if (detail.state === "waiting" && !this.#lost) {
      this.#lost = true;
      this.#transcript.note(`${detail.reason} Trying again …`, "warning");
    }
    if (detail.state === "closed" && detail.reason !== "disconnected") this.#transcript.note(detail.reason, "error");
    if (detail.state === "closed") this.#lost = false;
  }

  #begun({ how, id }) {
    sessionStorage.setItem(SESSION, id);
    if (how === "resumed") this.#transcript.note("Connected again. The conversation goes on.");
    else if (how === "anew") this.#transcript.note("The server no longer has the earlier conversation. A new one begins.", "warning");
    else if (this.#lost) this.#transcript.note("Connected.");
    this.#lost = false;
  }
}
