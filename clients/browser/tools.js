/** Tools that run in this page, to show that they do. */

const COLOURS = { blue: 225, green: 150, purple: 280, orange: 28, red: 0, teal: 185 };

export const TOOLS = [
  {
    name: "get_time",
    description: "The time and the date where the user is.",
    parameters: { type: "object", properties: {} },
    run: () => new Date().toString(),
  },
  {
    name: "set_page_colour",
    description: "Change the colour of the page that the user sees.",
    parameters: { type: "object", properties: { colour: { type: "string", enum: Object.keys(COLOURS) } }, required: ["colour"] },
    run: ({ colour }) => {
      if (!(colour in COLOURS)) throw new Error(`one of ${Object.keys(COLOURS)}`);
      document.documentElement.style.setProperty("--hue", COLOURS[colour]);
      return `The page is ${colour} now.`;
    },
  },
  {
    name: "roll_dice",
    description: "Roll dice.",
    parameters: { type: "object", properties: { count: { type: "integer", minimum: 1, maximum: 10 } } },
    run: ({ count = 1 }) => Array.from({ length: Math.min(10, count) }, () => 1 + Math.floor(Math.random() * 6)),
  },
];
