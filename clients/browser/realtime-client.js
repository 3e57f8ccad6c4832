/**
 * A client of the OpenAI Realtime protocol (GA) over one websocket, without any user interface: it keeps the connection, resumes the session
 * when it breaks, and runs tools. It knows nothing of microphones and speakers; it takes and gives PCM16 at 24 kHz.
 *
 *     const client = new RealtimeClient("ws://localhost:8001/v1/realtime");
 *     client.on("response.output_audio_transcript.delta", (event) => console.log(event.delta));
 *     await client.connect();
 *     client.sendText("Hello!");
 *
 * Every server event is dispatched under its own type. Beside these there are:
 *
 *     state       {state: "connecting" | "open" | "reconnecting" | "closed", reason, seconds, how}
 *     sent        every client event, as it is sent
 *     received    every server event
 *
 * `how` tells of an open connection: "new", "resumed" (the same conversation goes on), or "anew" (it could not be resumed).
 */

import { toBase64 } from "./pcm.js";

/** Seconds before each try to connect again; the last holds for all further ones. A tenth is added or taken away, so that a crowd comes one by one. */
const BACKOFF = [0.2, 0.5, 1, 2, 4, 8];

/** Close codes after which coming back by itself would be wrong: the client's own goodbye, a refusal, a newer connection. */
const FINAL = new Set([1000, 1008, 3000, 4001]);

/** Bytes that may wait in the socket before sound is left out: a second of it. Late sound is worth nothing. */
const MAX_WAITING = 64 * 1024;

export class RealtimeClient extends EventTarget {
  #url;
  #apiKey;
  #socket = null;
  #sessionId = null;
  #lastEventId = null;
  #tries = 0;
  #timer = null;
  #wanted = false;
  #tools = new Map();
  #settings = {};

  /** `url`: a `ws:` or `wss:` address. `apiKey`: where the server wants one; it travels as a subprotocol, the one way that browsers have. */
  constructor(url, { apiKey = null } = {}) {
    super();
    this.#url = url;
    this.#apiKey = apiKey;
    this.state = "closed";
  }

  /** Call `listener` with the detail of every event of that type. Returns a function that ends it. */
  on(type, listener) {
    const heard = (event) => listener(event.detail);
    this.addEventListener(type, heard);
    return () => this.removeEventListener(type, heard);
  }

  get sessionId() {
    return this.#sessionId;
  }

  /** Connect; resolves with the session once it is there, rejects where there will be none. */
  connect() {
    this.#wanted = true;
    this.#tries = 0;
    this.#open();
    return new Promise((resolve, reject) => {
      const ends = [
        this.on("session.created", (event) => settle(resolve, event.session)),
        this.on("state", ({ state, reason }) => state === "closed" && settle(reject, new Error(reason))),
      ];
      const settle = (how, what) => {
        ends.forEach((end) => end());
        how(what);
      };
    });
  }

  /** Say goodbye. The session stays in the server's memory; the next `connect` goes on with it, unless it was forgotten. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close(1000);
    else this.#become("closed", { reason: "closed" });
  }

  /** Begin anew with the next `connect`. */
  forget() {
    this.#sessionId = this.#lastEventId = null;
  }

  /** Go on with a session of before, of which nothing is known here but its id. */
  remember(sessionId) {
    this.#sessionId = sessionId;
    this.#lastEventId = null;
  }

  /** Send any client event. False where nobody is connected: what is said into a broken connection is lost, and the caller knows. */
  send(event) {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.state !== "open") return false;
    this.#socket.send(JSON.stringify(event));
    this.#emit("sent", event);
    return true;
  }

  // Settings

  /** Change settings of the session, by the shape of GA's `session`. They are kept for sessions that have to begin anew. */
  update(session) {
    this.#settings = merged(this.#settings, session);
    return this.send({ type: "session.update", session: { type: "realtime", ...session } });
  }

  /** Offer a function to the model. `run` takes its arguments as an object, and returns its result, or a promise of it. */
  addTool({ name, description, parameters }, run) {
    this.#tools.set(name, { definition: { type: "function", name, description, parameters }, run });
    this.#updateTools();
  }

  removeTool(name) {
    this.#tools.delete(name);
    this.#updateTools();
  }

  #updateTools() {
    this.update({ tools: [...this.#tools.values()].map((tool) => tool.definition) });
  }

  // What a person says and shows

  sendText(text, { respond = true } = {}) {
    return this.#say([{ type: "input_text", text }], respond);
  }

  /** `url`: a `data:` URI of a picture. */
  sendImage(url, { text = "", respond = true } = {}) {
    const words = text ? [{ type: "input_text", text }] : [];
    return this.#say([{ type: "input_image", image_url: url }, ...words], respond);
  }

  /** `samples`: an Int16Array of PCM at 24 kHz. */
  sendAudio(samples, { respond = true } = {}) {
    return this.#say([{ type: "input_audio", audio: toBase64(samples) }], respond);
  }

  /** `base64`: of a whole file. This server takes clips; others don't. */
  sendVideo(base64, { text = "", respond = true } = {}) {
    const words = text ? [{ type: "input_text", text }] : [];
    return this.#say([{ type: "input_video", video: base64 }, ...words], respond);
  }

  #say(content, respond) {
    const sent = this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    return sent && (!respond || this.respond());
  }

  /** Microphone sound, as it comes: an Int16Array of PCM at 24 kHz. */
  appendAudio(samples) {
    if (this.#socket && this.#socket.bufferedAmount > MAX_WAITING) return false;
    return this.send({ type: "input_audio_buffer.append", audio: toBase64(samples) });
  }

  /** End a turn by hand, and have it answered. */
  commit() {
    return this.send({ type: "input_audio_buffer.commit" }) && this.respond();
  }

  /** What a camera sees now; it joins the turn that is being spoken. */
  showFrame(url) {
    return this.send({ type: "input_image_buffer.append", image: url });
  }

  respond(response = {}) {
    return this.send({ type: "response.create", response });
  }

  cancel() {
    return this.send({ type: "response.cancel" });
  }

  /** Have the model forget what nobody heard of its answer: all that came after `ms` of its sound. */
  truncate(itemId, ms) {
    return this.send({ type: "conversation.item.truncate", item_id: itemId, content_index: 0, audio_end_ms: Math.floor(ms) });
  }

  // The connection

  #open() {
    this.#become(this.#tries ? "reconnecting" : "connecting", {});
    const url = new URL(this.#url);
    if (this.#sessionId) url.searchParams.set("session_id", this.#sessionId);
    if (this.#sessionId && this.#lastEventId) url.searchParams.set("last_event_id", this.#lastEventId);
    const protocols = this.#apiKey ? ["realtime", `openai-insecure-api-key.${this.#apiKey}`] : ["realtime"];
    const socket = (this.#socket = new WebSocket(url, protocols));
    socket.onmessage = (message) => socket === this.#socket && this.#receive(JSON.parse(message.data));
    socket.onclose = (close) => socket === this.#socket && this.#lose(close);
  }

  #receive(event) {
    this.#emit("received", event);
    if (event.type === "session.created") this.#begin(event.session);
    if (event.event_id) this.#lastEventId = event.event_id;
    if (event.type === "error" && event.error.code === "session_not_found") this.forget();
    this.#emit(event.type, event);
    if (event.type === "response.done") this.#runTools(event.response);
  }

  #begin(session) {
    const resumed = session.id === this.#sessionId;
    const how = resumed ? "resumed" : this.#tries ? "anew" : "new";
    this.#sessionId = session.id;
    this.#tries = 0;
    this.#become("open", { how });
    if (!resumed && Object.keys(this.#settings).length) this.update(this.#settings);
  }

  #lose({ code, reason }) {
    this.#socket = null;
    // A session that is gone is no reason to stay away: it begins anew.
    const again = this.#wanted && (!FINAL.has(code) || reason.endsWith("session_not_found"));
    if (!again) {
      this.#wanted = false;
      this.#become("closed", { code, reason: reason || `closed with ${code}` });
      return;
    }
    const seconds = BACKOFF[Math.min(this.#tries, BACKOFF.length - 1)] * (0.9 + 0.2 * Math.random());
    this.#tries += 1;
    this.#become("reconnecting", { code, reason, seconds });
    this.#timer = setTimeout(() => this.#open(), seconds * 1000);
  }

  #become(state, detail) {
    this.state = state;
    this.#emit("state", { state, ...detail });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Tools

  /** Every function that the answer calls is run; once all have returned, the model goes on. */
  async #runTools(response) {
    const calls = response.output.filter((item) => item.type === "function_call" && this.#tools.has(item.name));
    if (response.status !== "completed" || !calls.length) return;
    await Promise.all(
      calls.map(async (call) => {
        const output = await this.#run(call);
        this.send({ type: "conversation.item.create", item: { type: "function_call_output", call_id: call.call_id, output } });
      }),
    );
    this.respond();
  }

  /** What goes wrong is told to the model, which can do something about it. */
  async #run(call) {
    try {
      const result = await this.#tools.get(call.name).run(JSON.parse(call.arguments || "{}"));
      return typeof result === "string" ? result : JSON.stringify(result ?? null);
    } catch (error) {
      return JSON.stringify({ error: String(error) });
    }
  }
}

/** `base` with what `patch` says in its place; objects merge by key, as the server does. */
function merged(base, patch) {
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const both = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    both[key] = isObject(value) && isObject(base[key]) ? merged(base[key], value) : value;
  }
  return both;
}
