/**
 * The OpenAI Realtime protocol (GA) over a websocket, for any page: connects, comes back by itself and resumes the same session.
 *
 *     const client = new RealtimeClient("ws://localhost:8001/v1/realtime");
 *     client.addEventListener("response.output_text.delta", ({detail}) => print(detail.delta));
 *     await client.connect();
 *     client.sendText("Hello!");
 *
 * It fires, as `CustomEvent`s:
 *   - every server event under its own `type`, and all of them as `event`; the detail is the event;
 *   - `sent`: the detail is a client event that went out;
 *   - `state`: `{state, delay, attempt, reason}`; see `STATES`; `delay` in milliseconds until the next attempt;
 *   - `session`: `{how, id, lost}` once a session is there. `how` is `new`, `resumed` (the same conversation goes on) or `anew` (the
 *     session `lost` is gone, and another has begun).
 *
 * No DOM is used; Node 22 runs it, and an older one when it is given a `WebSocket`.
 */

import { toBase64 } from "./pcm.js";

/** `closed`: not connected, and nothing is under way. `waiting`: for the next attempt. */
export const STATES = ["closed", "connecting", "open", "waiting"];

/** Milliseconds before the first attempt to come back, doubled for each further one. */
const FIRST_DELAY = 500;
/** The longest of them. */
const LONGEST_DELAY = 15_000;
/** Client events that wait for the connection to come back; sound and camera frames never wait. */
const MAX_WAITING = 100;
/** What is worth nothing a moment later. */
const FLEETING = new Set(["input_audio_buffer.append", "input_audio_buffer.commit", "input_image_buffer.append"]);

/** Close codes after which coming back by itself would be wrong: a wrong key, and a newer connection that has taken the session over. */
const FINAL_CODES = new Map([
  [3000, "The server did not accept the key."],
  [4001, "This session goes on in another window or on another device."],
]);
/** Codes of an `error` after which the session exists no more. */
const GONE = new Set(["session_not_found", "session_expired"]);

export class RealtimeClient extends EventTarget {
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #waiting = [];
  #wanted = false;
  #lastError = null;
  #lost = null;
  #settings = {};
  /** Settings that were changed while the connection was away. */
  #unsent = {};
  #options;

  /**
   * @param {string} url `ws:` or `wss:` address; its query is kept
   * @param {{key?: string, sessionId?: string, session?: object, WebSocket?: Function, random?: () => number}} options
   *   `key`: a key or a client secret. `sessionId`: a session to resume. `session`: settings that every new session begins with.
   */
  constructor(url, options = {}) {
    super();
    this.url = url;
    this.key = options.key ?? "";
    this.sessionId = options.sessionId ?? null;
    this.lastEventId = null;
    this.state = "closed";
    this.#settings = options.session ?? {};
    this.#options = { WebSocket: options.WebSocket ?? globalThis.WebSocket, random: options.random ?? Math.random };
  }

  /** Resolves once a session is there; rejects when the server refuses for good, or `disconnect` comes first. */
  connect() {
    if (this.state === "open") return Promise.resolve();
    const done = new Promise((resolve, reject) => {
      const stop = new AbortController();
      const settle = (act) => (stop.abort(), act());
      this.addEventListener("session", () => settle(resolve), { signal: stop.signal });
      const closed = ({ detail }) => detail.state === "closed" && settle(() => reject(new Error(detail.reason)));
      this.addEventListener("state", closed, { signal: stop.signal });
    });
    if (!this.#wanted) {
      this.#wanted = true;
      this.#attempt = 0;
      this.#open();
    } else if (this.state === "waiting") this.retry();
    return done;
  }

  /** Closes, and stays closed. `forget`: the next `connect` begins another session. */
  disconnect({ forget = false } = {}) {
    if (forget) this.#forget();
    this.#waiting = [];
    this.#end("disconnected");
  }

  /** Try now instead of after the delay: the page knows that the network is back. */
  retry() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /**
   * Send any client event. While the connection is away it waits, unless it is sound or a camera's frame, which are dropped.
   * @returns {boolean} was it sent, or will it be?
   */
  send(event) {
    if (this.state === "open") {
      this.#socket.send(JSON.stringify(event));
      this.#emit("sent", event);
      return true;
    }
    if (!this.#wanted || FLEETING.has(event.type) || this.#waiting.length >= MAX_WAITING) return false;
    this.#waiting.push(event);
    return true;
  }

  /** Change the session, now and in every session that has to begin anew. @param {object} session GA, in part */
  updateSession(session) {
    this.#settings = merged(this.#settings, session);
    if (this.state === "open") this.send({ type: "session.update", session: { type: "realtime", ...session } });
    else this.#unsent = merged(this.#unsent, session);
  }

  /** @param {Int16Array} pcm 24 kHz */
  appendAudio(pcm) {
    return this.send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
  }

  commitAudio() {
    return this.send({ type: "input_audio_buffer.commit" });
  }

  clearAudio() {
    return this.send({ type: "input_audio_buffer.clear" });
  }

  /** What a camera sees now: an extension of this server. @param {string} image base64 or a `data:` URI */
  appendFrame(image) {
    return this.send({ type: "input_image_buffer.append", image });
  }

  /** A message of the user, answered unless `respond` is false. @param {object[]} content parts, such as `{type: "input_text", text}` */
  sendMessage(content, { respond = true } = {}) {
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    if (respond) this.createResponse();
  }

  sendText(text, options) {
    this.sendMessage([{ type: "input_text", text }], options);
  }

  /** What a function returned; a response has to be asked for once all calls have returned. */
  sendToolOutput(callId, output) {
    const text = typeof output === "string" ? output : JSON.stringify(output);
    this.send({ type: "conversation.item.create", item: { type: "function_call_output", call_id: callId, output: text } });
  }

  createResponse(response) {
    this.send(response ? { type: "response.create", response } : { type: "response.create" });
  }

  cancelResponse() {
    this.send({ type: "response.cancel" });
  }

  /** Only `milliseconds` of this item's sound were heard. */
  truncate(itemId, contentIndex, milliseconds) {
    const event = { type: "conversation.item.truncate", item_id: itemId, content_index: contentIndex };
    this.send({ ...event, audio_end_ms: Math.floor(milliseconds) });
  }

  /** Asks for an item as the server keeps it: `conversation.item.retrieved`. */
  retrieve(itemId) {
    this.send({ type: "conversation.item.retrieve", item_id: itemId });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #enter(state, detail = {}) {
    this.state = state;
    this.#emit("state", { state, attempt: this.#attempt, delay: 0, reason: "", ...detail });
  }

  #forget() {
    this.#lost = this.sessionId ?? this.#lost;
    this.sessionId = this.lastEventId = null;
  }

  #address() {
    const address = new URL(this.url);
    if (this.sessionId) address.searchParams.set("session_id", this.sessionId);
    if (this.lastEventId) address.searchParams.set("last_event_id", this.lastEventId);
    return address.href;
  }

  #open() {
    this.#lastError = null;
    this.#enter("connecting");
    const protocols = this.key ? ["realtime", `openai-insecure-api-key.${this.key}`] : ["realtime"];
    let socket;
    try {
      socket = new this.#options.WebSocket(this.#address(), protocols);
    } catch (error) {
      this.#end(`The address or the key can't be used: ${error.message}`);
      return;
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(code, reason);
  }

  #receive(event) {
    if (event.type === "session.created") this.#begin(event.session);
    if (event.type === "error") {
      this.#lastError = event.error;
      if (GONE.has(event.error.code)) this.#forget();
    } else if (event.event_id) this.lastEventId = event.event_id;
    this.#emit(event.type, event);
    this.#emit("event", event);
  }

  /** `session.created`: of the session that was asked for, or of another. */
  #begin(session) {
    const asked = this.sessionId ?? this.#lost;
    const how = session.id === this.sessionId ? "resumed" : asked ? "anew" : "new";
    this.sessionId = session.id;
    this.#lost = null;
    this.#attempt = 0;
    this.#enter("open");
    this.#emit("session", { how, id: session.id, lost: how === "anew" ? asked : null });
    const missing = how === "resumed" ? this.#unsent : this.#settings;
    this.#unsent = {};
    if (Object.keys(missing).length) this.updateSession(missing);
    for (const event of this.#waiting.splice(0)) this.send(event);
  }

  #closed(code, reason) {
    const error = this.#lastError;
    if (FINAL_CODES.has(code)) return this.#end(error?.message ?? FINAL_CODES.get(code));
    if (reason.startsWith("idle")) return this.#end("The server let go of a silent connection.");
    const lost = error && GONE.has(error.code) && this.#attempt === 0;
    const bound = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt);
    // Chance: or all clients of a server that restarts would come back at the same moment.
    const delay = lost ? 0 : bound * (0.5 + this.#options.random() / 2);
    this.#attempt += 1;
    this.#socket = null;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#enter("waiting", { delay, reason: error?.message || reason || "The connection was lost." });
  }

  #end(reason) {
    clearTimeout(this.#timer);
    this.#wanted = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    if (this.state !== "closed") this.#enter("closed", { reason });
  }
}

/** `patch` over `base`, objects by key, as the server merges them; lists and null replace. */
function merged(base, patch) {
  const result = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    const both = isObject(value) && isObject(result[key]) && value.type === result[key].type;
    result[key] = both ? merged(result[key], value) : value;
  }
  return result;
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
