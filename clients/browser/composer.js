/** What is written, attached, pasted, dropped, and seen by the camera. */

import { Camera } from "./camera.js";
import { attachment } from "./files.js";
import { Microphone } from "./microphone.js";
import { element } from "./transcript.js";

export class Composer {
  #with;
  #attachments = [];
  #text = document.getElementById("text");
  #list = document.getElementById("attachments");
  #camera = new Camera(document.getElementById("camera-view"));

  constructor(parts) {
    this.#with = parts;
    document.getElementById("composer").addEventListener("submit", (event) => (event.preventDefault(), this.#send()));
    this.#listenForFiles();
    document.getElementById("camera").addEventListener("click", () => this.#toggleCamera());
    this.#camera.addEventListener("frame", ({ detail }) => parts.client.appendFrame(detail));
  }

  #listenForFiles() {
    const [file, stage] = [document.getElementById("file"), document.getElementById("stage")];
    document.getElementById("attach").addEventListener("click", () => file.click());
    file.addEventListener("change", () => (this.#attach(file.files), (file.value = "")));
    document.addEventListener("paste", (event) => this.#attach(event.clipboardData?.files ?? []));
    // Anywhere on the page: a file that missed the stage would else replace the page.
    document.addEventListener("dragover", (event) => (event.preventDefault(), stage.classList.add("dropping")));
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && stage.classList.remove("dropping"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      stage.classList.remove("dropping");
      this.#attach(event.dataTransfer.files);
    });
  }

  async #attach(files) {
    for (const file of [...files]) {
      try {
        this.#attachments.push(await attachment(file));
      } catch (error) {
        this.#with.transcript.note(error.message, "error");
      }
    }
    this.#show();
  }

  #show() {
    this.#list.replaceChildren(...this.#attachments.map((each) => this.#chip(each)));
  }

  #chip(each) {
    const chip = element("li");
    if (each.preview) chip.append(Object.assign(element("img"), { src: each.preview, alt: "" }));
    chip.append(element("span", "", each.name));
    const remove = Object.assign(element("button", "icon", "✕"), { type: "button" });
    remove.setAttribute("aria-label", `Remove ${each.name}`);
    remove.addEventListener("click", () => {
      this.#attachments = this.#attachments.filter((other) => other !== each);
      this.#show();
      this.#text.focus();
    });
    chip.append(remove);
    return chip;
  }

  async #send() {
    const text = this.#text.value.trim();
    const content = [...this.#attachments.map(({ part }) => part), ...(text ? [{ type: "input_text", text }] : [])];
    if (!content.length) return;
    const { client, connection, speaker, latency, interrupt } = this.#with;
    await speaker.start();
    if (client.state === "closed" && !(await connection.need())) return;
    this.#text.value = "";
    this.#attachments = [];
    this.#show();
    if ((await interrupt()).length) client.cancelResponse();
    client.sendMessage(content);
    latency.begin("text");
  }

  async #toggleCamera() {
    const button = document.getElementById("camera");
    const box = document.getElementById("camera-box");
    try {
      if (this.#camera.on) this.#camera.stop();
      else {
        const obstacle = Microphone.obstacle();
        if (obstacle) throw new Error(obstacle);
        if (!(await this.#with.connection.need())) return;
        await this.#camera.start();
      }
    } catch (error) {
      this.#camera.stop();
      this.#with.transcript.note(error.name === "NotAllowedError" ? "The camera is not allowed." : error.message, "error");
    }
    box.hidden = !this.#camera.on;
    button.setAttribute("aria-pressed", this.#camera.on);
  }
}
