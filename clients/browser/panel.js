/** The side panel: its tabs, and on a narrow screen its door. */

export class Panel {
  #panel;
  #shown;
  #toggle = document.getElementById("panel-toggle");

  /** @param {() => void} shown called when another tab is shown */
  constructor(panel, shown) {
    this.#panel = panel;
    this.#shown = shown;
    for (const tab of this.#tabs) {
      tab.addEventListener("click", () => this.show(tab));
      tab.addEventListener("keydown", (event) => this.#step(tab, event));
    }
    this.#toggle.addEventListener("click", () => this.#open(!panel.classList.contains("open")));
    document.getElementById("panel-close").addEventListener("click", () => this.#open(false));
    panel.addEventListener("keydown", (event) => event.key === "Escape" && this.#open(false));
  }

  get #tabs() {
    return [...this.#panel.querySelectorAll("[role=tab]")];
  }

  show(tab) {
    for (const each of this.#tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    this.#shown();
  }

  #step(tab, event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = this.#tabs.at((this.#tabs.indexOf(tab) + step) % this.#tabs.length);
    this.show(next);
    next.focus();
  }

  #open(open) {
    this.#panel.classList.toggle("open", open);
    this.#toggle.setAttribute("aria-expanded", open);
    if (open) this.#tabs.find((tab) => tab.tabIndex === 0).focus();
    else this.#toggle.focus();
  }
}
