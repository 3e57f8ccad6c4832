// A person at the keyboard of @openai/agents-realtime: node agents_realtime.mjs URL CONFIG
// Takes a line of JSON for each thing to do, {"say": text}, {"speak": base64}, {"show": image}, {"close": true},
// and prints a line of JSON for each thing that the session tells.
import { createInterface } from "node:readline";
import { RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

// The schemas that the package drops unknown frames by. It exports them to nobody, so they are found beside what it does export.
const schemas = new URL("./openaiRealtimeEvents.mjs", import.meta.resolve("@openai/agents-realtime"));
const { parseRealtimeEvent } = await import(schemas);

const FRAME = 960; // bytes of 20 ms
const [url, config] = process.argv.slice(2);

const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const words = (item) => (item.content ?? []).map((part) => part.text ?? part.transcript ?? "").join("");

const weather = tool({
  name: "weather",
  description: "Tells the weather.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}.`,
});
const agent = new RealtimeAgent({ name: "A", instructions: "Be nice.", tools: [weather] });
const session = new RealtimeSession(agent, { transport: "websocket", model: "x", config: JSON.parse(config) });

session.on("transport_event", (frame) => {
  tell("frame", { type: frame.type, dropped: parseRealtimeEvent({ data: JSON.stringify(frame) }).isGeneric });
});
session.on("history_updated", (items) => {
  tell("history", { items: items.map((item) => ({ id: item.itemId, role: item.role ?? item.type, words: words(item) })) });
});
session.on("agent_end", (_context, _agent, text) => tell("answered", { text }));
session.on("agent_tool_end", (_context, _agent, tool, result) => tell("tool", { name: tool.name, result }));
session.on("audio", (audio) => tell("audio", { bytes: audio.data.byteLength }));
session.on("audio_interrupted", () => tell("interrupted"));
session.on("error", ({ error }) => tell("error", { error: String(error?.message ?? JSON.stringify(error)) }));

await session.connect({ apiKey: "k", url });
tell("connected");

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.say) session.sendMessage(asked.say);
  if (asked.show) session.addImage(asked.show);
  if (asked.speak) {
    const sound = Buffer.from(asked.speak, "base64");
    for (let at = 0; at < sound.length; at += FRAME) session.sendAudio(new Uint8Array(sound.subarray(at, at + FRAME)).buffer);
  }
  if (asked.close) break;
}
session.close();
process.exit(0); // whatever the person still typed is nobody's
