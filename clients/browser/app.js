/** The page: joins the client, the microphone, the loudspeaker and the views. */

import { RealtimeClient } from "./realtime-client.js";
import { Conversation } from "./conversation.js";
import { Microphone } from "./microphone.js";
import { Speaker } from "./speaker.js";
import { Transcript } from "./transcript.js";
import { Latency, LatencyChart } from "./latency.js";
import { Inspector } from "./inspector.js";
import { Settings, changes } from "./settings.js";
import { Tools } from "./tools.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { Talk } from "./talk.js";
import { ToolPanel } from "./tool-panel.js";
import { Panel } from "./panel.js";

const $ = (id) => document.getElementById(id);

/** Errors that tell nobody anything: the answer had ended when it was cancelled. */
const HARMLESS = new Set(["response_cancel_not_active"]);

const settings = new Settings($("settings"));
const client = new RealtimeClient(settings.url, { key: settings.key });
const conversation = new Conversation();
const speaker = new Speaker();
const microphone = new Microphone();
const tools = new Tools();
const latency = new Latency();
const transcript = new Transcript(conversation, $("transcript"), $("announcer"), (id, output) => toolPanel.answer(id, output));
const connection = new Connection(client, settings, transcript);
const talk = new Talk({ client, connection, settings, microphone, speaker, latency, transcript, interrupt });
const toolPanel = new ToolPanel({ client, tools, transcript, conversation });
new LatencyChart(latency, $("latency"));
const inspector = new Inspector({
  list: $("events"), direction: $("direction"), search: $("search"), constant: $("constant"), count: $("count"),
  save: $("events-save"), clear: $("events-clear"), panel: $("events-panel"),
});
const panel = new Panel($("panel"), () => inspector.draw());
new Composer({ client, connection, transcript, speaker, latency, interrupt });

/** What the session was last told, so that an update names only what has changed. */
let told = {};

function tell() {
  const wanted = { ...settings.session, tools: tools.listed };
  const patch = changes(told, wanted);
  told = wanted;
  if (Object.keys(patch).length) client.updateSession(patch);
}

/** Silence the answer, and have the server forget what nobody heard of it. */
async function interrupt() {
  const cut = await speaker.interrupt();
  for (const { item, index, milliseconds } of cut) client.truncate(item, index, milliseconds);
  return cut;
}

tell();
settings.addEventListener("change", tell);
tools.addEventListener("change", tell);

client.addEventListener("sent", ({ detail }) => inspector.add(">", detail));
client.addEventListener("session", ({ detail }) => {
  if (detail.how === "anew") speaker.interrupt();
  if (detail.how !== "resumed") latency.newSession();
});
client.addEventListener("event", ({ detail: event }) => {
  inspector.add("<", event);
  conversation.receive(event);
  latency.receive(event);
  talk.receive(event);
  switch (event.type) {
    case "input_audio_buffer.speech_started":
      if (settings.value("interrupt")) interrupt();
      break;
    case "response.output_audio.delta":
      speaker.push(event.item_id, event.content_index, event.delta);
      break;
    case "conversation.item.truncated":
      client.retrieve(event.item_id); // to show what was heard of it
      break;
    case "response.done":
      toolPanel.respond(event.response);
      if (event.response.status === "failed") transcript.note(event.response.status_details.error.message, "error");
      break;
    case "error":
      if (!HARMLESS.has(event.error.code)) transcript.note(event.error.message, "error");
      break;
  }
});
speaker.addEventListener("started", () => latency.mark("sound"));

$("stop").addEventListener("click", async () => {
  client.cancelResponse();
  await interrupt();
});
$("new-session").addEventListener("click", async () => {
  await speaker.interrupt();
  client.disconnect({ forget: true });
  conversation.clear();
  await connection.need();
});
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = localStorage.theme = now === "dark" ? "light" : "dark";
});
if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;

/** For the console, and for tests. */
window.realtime = { client, conversation, speaker, microphone, latency, inspector, panel };
