// A card that a model answers into: what it writes as it is written, then label, probabilities, evidence and time.

import { ApiError, ask, stream } from "./api.js";
import { el } from "./dom.js";
import { percent, seconds } from "./formats.js";
import { bars, labelName, markedText, reasoningBlock, statusNote } from "./prediction.js";

export class Answer {
  constructor(title) {
    this.time = el("span", { class: "soft small time" });
    this.body = el("div", { "aria-busy": "false" });
    this.card = el("article", { class: "card answer" }, el("h3", {}, title, " ", this.time), this.body);
    this.title = title;
    this.result = null;
  }

  /** Ask a model in a mode; fills the card and returns the result, null if there is none. */
  async ask({ text, model, mode, evidence, signal }) {
    this.text = text;
    this.result = null;
    this.started = performance.now();
    this.body.setAttribute("aria-busy", "true");
    this.body.replaceChildren(el("p", { class: "soft" }, "…"));
    this.time.textContent = "";
    try {
      const body = { input: text, mode, include: ["reasoning", "probabilities"] };
      if (model) body.model = model;
      if (mode === "fast") {
        const { data } = await ask("v1/classify", { body, signal });
        this.#show(data[0]);
        this.time.textContent = seconds(this.#elapsed());
      } else {
        if (evidence) body.include.push("evidence");
        await this.#follow({ ...body, stream: true }, signal);
      }
    } catch (error) {
      this.#failed(error);
    }
    this.body.setAttribute("aria-busy", "false");
    return this.result;
  }

  /** Ask which stretches of the text the label of a fast answer rests on, and mark them. */
  async markEvidence({ model, signal }) {
    if (!this.result?.label && this.result?.label !== "") return;
    const body = { input: this.text, mode: this.result.mode, include: ["probabilities", "evidence"] };
    if (model) body.model = model;
    try {
      const { data } = await ask("v1/classify", { body, signal });
      this.#show(data[0]);
    } catch (error) {
      if (error.name !== "AbortError") this.body.append(el("p", { class: "error" }, `No evidence: ${error.message}`));
    }
  }

  /** One sentence for those who hear the page. */
  get sentence() {
    if (this.result === null) return `${this.title}: no answer.`;
    if (this.result.status === "failed") return `${this.title}: ${this.result.error}.`;
    const chance = this.result.probabilities?.[this.result.label];
    const sure = chance === undefined ? "" : `, ${percent(chance)}`;
    const because = this.result.reasoning ? ` Because: ${this.result.reasoning}` : "";
    return `${this.title}: ${labelName(this.result.label)}${sure}.${because}`;
  }

  async #follow(body, signal) {
    let draft = 0;
    let shown = null;
    let written = null;
    for await (const [name, data] of stream("v1/classify", body, signal)) {
      if (name === "reasoning") {
        if (data.draft !== draft) {
          draft = data.draft;
          shown = el("p", { class: "reasoning draft", dir: "auto" });
          const first = "A draft, as it is written:";
          const again = "The first draft was refused. Another one:";
          this.body.replaceChildren(el("p", { class: "soft small" }, draft > 1 ? again : first), shown);
        }
        shown.append(data.delta);
        written = this.#elapsed();
      } else if (name === "result") {
        this.#show(data);
        const all = seconds(this.#elapsed());
        this.time.textContent = written === null ? all : `${all}, reasoning written after ${seconds(written)}`;
      }
    }
    if (this.result === null) throw new ApiError(0, "The answer ended early.");
  }

  #show(result) {
    this.result = result;
    if (result.status === "failed") {
      this.body.replaceChildren(el("p", { class: "error" }, `Not labelled: ${result.error}.`));
      return;
    }
    const { label, probabilities, evidence } = result;
    const nothing = "The label rests on no stretch of the text alone.";
    this.body.replaceChildren(
      el("p", { class: "label", dir: "auto" }, labelName(label)),
      ...[
        statusNote(result.status),
        reasoningBlock(result),
        result.disagrees && result.mode !== "fast" ? el("p", { class: "disagrees" }, "Without the reasoning the label would be another.") : null,
        probabilities ? bars(probabilities, label) : null,
        evidence?.length ? el("h4", {}, "What the label rests on") : null,
        evidence?.length ? markedText(this.text, evidence) : null,
        evidence && !evidence.length ? el("p", { class: "soft small" }, nothing) : null,
      ].filter(Boolean),
    );
  }

  #failed(error) {
    const stopped = error.name === "AbortError";
    const message = stopped ? "Stopped." : error.message;
    this.body.replaceChildren(el("p", { class: stopped ? "soft" : "error" }, message));
  }

  #elapsed() {
    return (performance.now() - this.started) / 1000;
  }
}
