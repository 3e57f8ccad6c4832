/** The conversation on the page: a bubble for each item, and notes between them on what happened to the connection. */

const NAMES = { user: "You", assistant: "Assistant", system: "System", call: "Tool", output: "Result" };

export class Transcript {
  #list;
  #announcer;
  #answerCall;
  #bubbles = new Map();

  /**
   * @param {HTMLElement} list where the bubbles go
   * @param {HTMLElement} announcer a live region: finished messages are put there for screen readers, which would read every delta else
   * @param {(callId: string, output: string) => void} answerCall for calls that no function of the page answers
   */
  constructor(conversation, list, announcer, answerCall) {
    this.#list = list;
    this.#announcer = announcer;
    this.#answerCall = answerCall;
    conversation.addEventListener("change", ({ detail }) => this.#draw(detail));
    conversation.addEventListener("removed", ({ detail }) => this.#remove(detail));
    conversation.addEventListener("finished", ({ detail }) => detail.text && this.announce(`${NAMES[detail.who]}: ${detail.text}`));
  }

  announce(text) {
    this.#announcer.textContent = text;
  }

  /** What happened between the messages. @param {"info"|"warning"|"error"} kind */
  note(text, kind = "info") {
    const note = element("li", `note ${kind}`, text);
    note.dataset.kind = kind;
    this.#append(note);
    this.announce(text);
  }

  /** Ask the person what a function returns. */
  askFor(call) {
    const bubble = this.#bubbles.get(call.id);
    if (!bubble || bubble.querySelector("form")) return;
    const form = element("form", "reply");
    const input = element("input");
    Object.assign(input, { name: "output", placeholder: "What it returns, as text or JSON", required: true });
    input.setAttribute("aria-label", `What ${call.name} returns`);
    const button = element("button", "", "Return");
    form.append(input, button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#answerCall(call.callId, input.value);
      form.remove();
    });
    bubble.append(form);
  }

  #draw(entry) {
    let bubble = this.#bubbles.get(entry.id);
    if (!bubble) {
      bubble = element("li");
      bubble.append(element("span", "who"), element("p", "text"), element("div", "images"));
      this.#bubbles.set(entry.id, bubble);
      this.#append(bubble);
    }
    const stays = this.#atEnd();
    bubble.className = `message ${entry.who} ${entry.state}`;
    bubble.dataset.id = entry.id;
    bubble.hidden = entry.finished && !entry.text && !entry.images.length;
    bubble.querySelector(".who").textContent = entry.name ? `${NAMES[entry.who]} · ${entry.name}` : NAMES[entry.who];
    const words = bubble.querySelector(".text");
    words.textContent = entry.text || (entry.state === "pending" ? "…" : "");
    if (entry.unheard) words.append(Object.assign(element("span", "unheard", entry.unheard), { title: "not heard" }));
    this.#pictures(bubble.querySelector(".images"), entry.images);
    if (stays) this.#scroll();
  }

  #pictures(box, images) {
    if (box.childElementCount === images.length) return;
    box.replaceChildren(
      ...images.map((address, index) => Object.assign(element("img"), { src: address, alt: `Picture ${index + 1} that was sent`, loading: "lazy" })),
    );
  }

  #append(node) {
    const stays = this.#atEnd();
    this.#list.append(node);
    this.#list.closest("[data-empty]")?.removeAttribute("data-empty");
    if (stays) this.#scroll();
  }

  /** Somebody who reads what was said earlier is not pulled away. */
  #atEnd() {
    const box = this.#list.parentElement;
    return box.scrollHeight - box.scrollTop - box.clientHeight < 120;
  }

  #scroll() {
    const box = this.#list.parentElement;
    box.scrollTop = box.scrollHeight;
  }

  #remove(id) {
    this.#bubbles.get(id)?.remove();
    this.#bubbles.delete(id);
  }
}

export function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}
