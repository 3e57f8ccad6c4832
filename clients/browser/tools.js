/** Functions that run in the page when the model calls them. */

/** A demo: what the model is told of each function, and what it does. */
export const DEMO = [
  {
    name: "get_time",
    description: "Tell the date, the time and the time zone where the user is.",
    parameters: { type: "object", properties: {} },
    run: () => ({ now: new Date().toString(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone }),
  },
  {
    name: "set_page_color",
    description: "Change the accent color of the page that the user looks at.",
    parameters: { type: "object", properties: { color: { type: "string", description: "A CSS color" } }, required: ["color"] },
    run: ({ color }) => {
      if (!CSS.supports("color", color)) return { error: `${color} is no CSS color` };
      document.documentElement.style.setProperty("--accent", color);
      return { color };
    },
  },
  {
    name: "roll_dice",
    description: "Roll dice and tell what each shows.",
    parameters: {
      type: "object",
      properties: { count: { type: "integer", minimum: 1, maximum: 20 }, sides: { type: "integer", minimum: 2, maximum: 1000 } },
    },
    run: ({ count = 1, sides = 6 }) => ({
      rolled: Array.from({ length: Math.min(20, Math.max(1, count)) }, () => 1 + Math.floor(Math.random() * sides)),
    }),
  },
];

/** What the model may call: functions of the demo that are switched on, and those that somebody described by hand. */
export class Tools extends EventTarget {
  #functions = new Map(DEMO.map((tool) => [tool.name, tool]));
  /** Names of the demo's functions that are on. */
  on = new Set(DEMO.map(({ name }) => name));
  /** Tools as the protocol writes them. */
  described = [];

  /** Fires `change`. */
  turn(name, on) {
    if (on) this.on.add(name);
    else this.on.delete(name);
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** Fires `change`; raises where that is no list of tools. */
  describe(tools) {
    if (!Array.isArray(tools) || tools.some((tool) => !tool?.type)) throw new Error("a list of objects, each with a type, is needed");
    this.described = tools;
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** For `session.tools`. */
  get listed() {
    const demo = DEMO.filter(({ name }) => this.on.has(name));
    return [...demo.map(({ name, description, parameters }) => ({ type: "function", name, description, parameters })), ...this.described];
  }

  has(name) {
    return this.on.has(name) && this.#functions.has(name);
  }

  /** What a function returns, or how it failed: the model reads either. @param {string} text its arguments, as the model wrote them */
  async call(name, text) {
    try {
      return await this.#functions.get(name).run(JSON.parse(text || "{}"));
    } catch (error) {
      return { error: error.message };
    }
  }
}
