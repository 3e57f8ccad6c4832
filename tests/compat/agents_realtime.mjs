// A person at the keyboard of @openai/agents-realtime: node agents_realtime.mjs URL CONFIG
// Takes a line of JSON for each thing to do, {"say": text}, {"speak": base64}, {"show": image}, {"approve": true or false},
// {"send": event}, {"close": true}, and prints a line of JSON for each thing that the session tells.
import { createInterface } from "node:readline";
import { RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { hostedMcpTool } from "@openai/agents-core";
import { z } from "zod";

// The schemas that the package drops unknown frames by. It exports them to nobody, so they are found beside what it does export.
const schemas = new URL("./openaiRealtimeEvents.mjs", import.meta.resolve("@openai/agents-realtime"));
const { parseRealtimeEvent } = await import(schemas);

const FRAME = 960; // bytes of 20 ms
const [url, config, server] = process.argv.slice(2);

const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const words = (item) => (item.content ?? []).map((part) => part.text ?? part.transcript ?? "").join("");

const weather = tool({
  name: "weather",
  description: "Tells the weather.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}.`,
});
const tools = server ? [weather, hostedMcpTool(JSON.parse(server))] : [weather];
const agent = new RealtimeAgent({ name: "A", instructions: "Be nice.", tools });
const asked = []; // approvals that wait for the person
const session = new RealtimeSession(agent, { transport: "websocket", model: "x", config: JSON.parse(config) });

session.on("transport_event", (frame) => {
  tell("frame", { type: frame.type, dropped: parseRealtimeEvent({ data: JSON.stringify(frame) }).isGeneric });
});
session.transport.on("conversation.item.input_audio_transcription.delta", ({ delta }) => tell("heard", { delta }));
session.on("history_updated", (items) => {
  tell("history", { items: items.map((item) => ({ id: item.itemId, role: item.role ?? item.type, words: words(item) })) });
});
session.on("agent_end", (_context, _agent, text) => tell("answered", { text }));
session.on("agent_tool_end", (_context, _agent, tool, result) => tell("tool", { name: tool.name, result }));
session.on("mcp_tools_changed", (tools) => tell("listed", { tools: tools.map((each) => each.name) }));
session.on("mcp_tool_call_completed", (_context, _agent, call) => tell("called", { name: call.name, output: call.output }));
session.on("tool_approval_requested", (_context, _agent, request) => {
  asked.push(request.approvalItem);
  tell("asked", { name: request.approvalItem.rawItem.name });
});
session.on("audio", (audio) => tell("audio", { bytes: audio.data.byteLength }));
session.on("audio_interrupted", () => tell("interrupted"));
session.on("error", ({ error }) => tell("error", { error: String(error?.message ?? JSON.stringify(error)) }));

await session.connect({ apiKey: "k", url });
tell("connected");

for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  if (wish.say) session.sendMessage(wish.say);
  if (wish.show) session.addImage(wish.show);
  if (wish.send) session.transport.sendEvent(wish.send);
  if (wish.approve === true) await session.approve(asked.shift());
  if (wish.approve === false) await session.reject(asked.shift());
  if (wish.speak) {
    const sound = Buffer.from(wish.speak, "base64");
    for (let at = 0; at < sound.length; at += FRAME) session.sendAudio(new Uint8Array(sound.subarray(at, at + FRAME)).buffer);
  }
  if (wish.close) break;
}
session.close();
process.exit(0); // whatever the person still typed is nobody's
