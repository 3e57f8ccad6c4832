/** The page: puts the client, the microphone, the speaker and the views together. Nothing else knows all of them. */

import { Camera } from "./camera.js";
import { Conversation, element } from "./conversation.js";
import { Inspector } from "./inspector.js";
import { Latency } from "./latency.js";
import { Microphone } from "./microphone.js";
import { decodeFile, fromBase64 } from "./pcm.js";
import { RealtimeClient } from "./realtime-client.js";
import { Speaker } from "./speaker.js";
import { TOOLS } from "./tools.js";

const $ = (id) => document.getElementById(id);
const STORED = "realtime";
/** Level of ordinary speech, which fills the meter. */
const LOUD = 0.25;

const conversation = new Conversation($("conversation"));
const inspector = new Inspector($("event-list"), $("event-count"));
const latency = new Latency($("latency-list"));
const speaker = new Speaker({ onLevel: (level) => meter("meter-out", level), onFirstSound: () => latency.sounded() });
const microphone = new Microphone({ onSound: (samples) => listening && client.appendAudio(samples), onLevel: (level) => meter("meter-in", level) });
const camera = new Camera($("camera-view"), { onFrame: (url) => client.showFrame(url) });

let client = null;
/** Does what the microphone hears go to the server? */
let listening = false;

// What is remembered from visit to visit, in this browser alone; never the key.

const stored = JSON.parse(localStorage.getItem(STORED) ?? "{}");
const remember = (what) => localStorage.setItem(STORED, JSON.stringify(Object.assign(stored, what)));

// The connection

function makeClient() {
  client = new RealtimeClient($("server").value, { apiKey: $("key").value || null });
  client.on("sent", (event) => {
    inspector.add(">", event);
    latency.receive(event);
  });
  client.on("received", receive);
  client.on("state", showState);
  for (const { run, ...definition } of TOOLS) if ($(`tool-${definition.name}`).checked) client.addTool(definition, run);
  if (sessionStorage.getItem(STORED)) client.remember(sessionStorage.getItem(STORED));
  window.realtime = { client, speaker, microphone }; // for whoever plays with it on the console
}

async function connect() {
  try {
    await client.connect();
  } catch {
    // What went wrong is on the page already.
  }
}

function showState({ state, how, reason, seconds }) {
  const words = { connecting: "connecting", open: "connected", reconnecting: "reconnecting", closed: "not connected" };
  $("status").textContent = words[state];
  $("status").className = `pill ${state}`;
  $("connect").textContent = state === "closed" ? "Connect" : "Disconnect";
  if (state === "open") {
    sessionStorage.setItem(STORED, client.sessionId);
    $("session-id").textContent = client.sessionId;
    if (how === "resumed") conversation.note("Connected again; the conversation goes on.");
    if (how === "anew") conversation.note("The conversation could not be found again; this is a new one.", "bad");
    if (how !== "resumed") applySettings();
  } else if (state === "reconnecting" && seconds !== undefined) {
    conversation.note(`The connection is gone (${reason || "no reason given"}); trying again.`);
  } else if (state === "closed" && reason !== "closed with 1000" && reason !== "closed") {
    conversation.note(`Not connected: ${reason}.`, "bad");
  }
}

function receive(event) {
  inspector.add("<", event);
  latency.receive(event);
  conversation.receive(event);
  $("welcome").hidden ||= /conversation.item|speech_started/.test(event.type);
  switch (event.type) {
    case "input_audio_buffer.speech_started":
      interrupt();
      break;
    case "response.output_audio.delta":
      speaker.play(event.item_id, fromBase64(event.delta));
      break;
    case "response.created":
      $("stop").hidden = false;
      break;
    case "response.done":
      $("stop").hidden = true;
      break;
    case "error":
      if (!/session_not_found|session_taken_over/.test(event.error.code)) hint(event.error.message, "bad");
      if (event.error.code === "invalid_api_key" || /bearer/i.test(event.error.message)) askForKey();
  }
}

/** The server has cancelled the answer; what nobody heard of it goes from its memory, too. */
async function interrupt() {
  const heard = await speaker.stop();
  if (heard) client.truncate(heard.item, heard.ms);
}

function askForKey() {
  openTab("settings");
  $("key").focus();
  hint("This server wants a key: it is asked for in the settings.", "bad");
}

// Talking

const pushes = () => $("turns").value === "push";

async function openMicrophone() {
  if (microphone.open) return true;
  try {
    await Promise.all([microphone.start(), speaker.start()]);
    return true;
  } catch (error) {
    hint(error.message, "bad");
    return false;
  }
}

async function listen(on) {
  if (on && !(await openMicrophone())) return;
  if (!on && !pushes()) await microphone.stop();
  listening = on;
  $("talk").setAttribute("aria-pressed", on);
  $("talk-label").textContent = on ? (pushes() ? "Listening" : "Stop listening") : pushes() ? "Hold to talk" : "Talk";
  hint(on && !pushes() ? "Listening. Speak whenever you like; speak into the answer to interrupt it." : "");
}

async function push() {
  if (listening) return;
  await interrupt();
  if (!$("stop").hidden) client.cancel();
  client.send({ type: "input_audio_buffer.clear" });
  await listen(true);
}

async function release() {
  if (!listening) return;
  await listen(false);
  client.commit();
}

$("talk").onclick = () => !pushes() && listen(!listening);
$("talk").onpointerdown = () => pushes() && push();
for (const end of ["pointerup", "pointercancel", "pointerleave"]) $("talk").addEventListener(end, () => pushes() && release());
const typing = () => /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(document.activeElement.tagName) && document.activeElement !== $("talk");
addEventListener("keydown", (key) => {
  if (key.code !== "Space" || !pushes() || typing()) return;
  key.preventDefault();
  if (!key.repeat) push();
});
addEventListener("keyup", (key) => key.code === "Space" && pushes() && !typing() && release());

$("stop").onclick = async () => {
  client.cancel();
  await interrupt();
};

// Typing, files, the camera

$("composer").onsubmit = (submit) => {
  submit.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  speaker.start();
  if (client.sendText(text)) $("text").value = "";
  else hint("Nothing is sent while there is no connection.", "bad");
};
$("attach").onclick = () => $("file").click();
$("file").onchange = () => {
  sendFiles($("file").files);
  $("file").value = "";
};
addEventListener("paste", (paste) => paste.clipboardData.files.length && sendFiles(paste.clipboardData.files));
for (const type of ["dragover", "dragleave", "drop"]) {
  $("talk-page").addEventListener(type, (drag) => {
    drag.preventDefault();
    $("talk-page").classList.toggle("dropping", type === "dragover");
    if (type === "drop") sendFiles(drag.dataTransfer.files);
  });
}

async function sendFiles(files) {
  speaker.start();
  const text = $("text").value.trim();
  for (const file of files) {
    try {
      if (await sendFile(file, text)) $("text").value = "";
    } catch (error) {
      hint(`${file.name}: ${error.message}`, "bad");
    }
  }
}

async function sendFile(file, text) {
  if (file.type.startsWith("image/")) return client.sendImage(await dataUrl(file), { text });
  if (file.type.startsWith("audio/")) return client.sendAudio(await decodeFile(file));
  if (file.type.startsWith("video/")) return client.sendVideo((await dataUrl(file)).split(",")[1], { text });
  throw new Error("neither a picture nor a sound nor a clip");
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = Object.assign(new FileReader(), { onload: () => resolve(reader.result), onerror: () => reject(reader.error) });
    reader.readAsDataURL(file);
  });
}

$("camera").onclick = async () => {
  try {
    if (camera.open) camera.stop();
    else await camera.start();
  } catch (error) {
    hint(error.message, "bad");
  }
  $("camera").setAttribute("aria-pressed", camera.open);
  $("camera-view").hidden = !camera.open;
};

// Settings

const KEPT = ["instructions", "modality", "voice", "turns", "silence"];

function applySettings() {
  const turns = $("turns").value;
  const detection = { server_vad: { type: "server_vad", silence_duration_ms: Number($("silence").value) }, semantic_vad: { type: "semantic_vad" }, push: null };
  const session = {
    output_modalities: [$("modality").value],
    audio: { input: { turn_detection: detection[turns], transcription: { model: "whisper-1" } } },
  };
  if ($("instructions").value) session.instructions = $("instructions").value;
  if ($("voice").value) session.audio.output = { voice: $("voice").value };
  client.update(session);
}

$("settings").onsubmit = (submit) => {
  submit.preventDefault();
  remember(Object.fromEntries(KEPT.map((id) => [id, $(id).value])));
  if ($("server").value !== current.server || $("key").value !== current.key) return reconnect();
  applySettings();
  listen(false);
  $("applied").textContent = "Applied";
  setTimeout(() => ($("applied").textContent = ""), 2000);
};
$("turns").onchange = () => ($("silence-label").hidden = $("turns").value !== "server_vad");
$("silence").oninput = () => ($("silence-value").textContent = `${$("silence").value} ms`);

const current = { server: "", key: "" };

function reconnect() {
  client?.close();
  Object.assign(current, { server: $("server").value, key: $("key").value });
  makeClient();
  connect();
}

$("connect").onclick = () => (client.state === "closed" ? reconnect() : client.close());
$("anew").onclick = () => {
  sessionStorage.removeItem(STORED);
  conversation.clear();
  $("welcome").hidden = false;
  speaker.stop();
  reconnect();
};

// Views

const TABS = ["settings", "events", "latency"];

function openTab(name) {
  showPanel(true);
  for (const tab of TABS) {
    $(tab).hidden = tab !== name;
    $(`tab-${tab}`).setAttribute("aria-selected", tab === name);
    $(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
}

for (const [index, tab] of TABS.entries()) {
  $(`tab-${tab}`).onclick = () => openTab(tab);
  $(`tab-${tab}`).onkeydown = ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = TABS[(index + step + TABS.length) % TABS.length];
    openTab(next);
    $(`tab-${next}`).focus();
  };
}

function showPanel(is) {
  $("panel").hidden = !is;
  $("panel-toggle").setAttribute("aria-expanded", is);
}
$("panel-toggle").onclick = () => showPanel($("panel").hidden);

$("filter").oninput = () => (inspector.filter = $("filter").value);
$("show-sent").onchange = () => inspector.show(">", $("show-sent").checked);
$("show-received").onchange = () => inspector.show("<", $("show-received").checked);
$("show-deltas").onchange = () => (inspector.quiet = !$("show-deltas").checked);
$("clear").onclick = () => inspector.clear();
$("pause").onclick = () => {
  const paused = $("pause").getAttribute("aria-pressed") !== "true";
  $("pause").setAttribute("aria-pressed", paused);
  inspector.paused = paused;
};
$("download").onclick = () => {
  const url = URL.createObjectURL(new Blob([inspector.transcript()], { type: "application/x-ndjson" }));
  Object.assign(document.createElement("a"), { href: url, download: `${client.sessionId ?? "session"}.jsonl` }).click();
  URL.revokeObjectURL(url);
};

function meter(id, level) {
  $(id).firstElementChild.style.width = `${Math.min(100, (100 * level) / LOUD)}%`;
}

function hint(text, kind = "") {
  $("hint").textContent = text;
  $("hint").className = `hint ${kind}`;
}

// Beginning

for (const { name, description } of TOOLS) {
  const label = element("label", "");
  const box = Object.assign(element("input", ""), { type: "checkbox", id: `tool-${name}` });
  box.onchange = () => {
    const { run, ...definition } = TOOLS.find((tool) => tool.name === name);
    if (box.checked) client.addTool(definition, run);
    else client.removeTool(name);
  };
  label.append(box, element("span", "", description));
  $("tools").append(label);
}
for (const id of KEPT) if (stored[id]) $(id).value = stored[id];
$("silence").oninput();
$("turns").onchange();
$("server").value = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/realtime`;
showPanel(innerWidth > 820);
listen(false);
reconnect();
