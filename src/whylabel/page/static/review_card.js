// A row in Review, as a person is shown it.

import { el } from "./dom.js";
import { facts, labelName, markedText } from "./prediction.js";

/** Return the card of a row; one that is read beside a prediction has a field for the reader's reason. */
export function reviewCard(row, isReading) {
  const why = row.reason ? `${row.state}: ${row.reason}` : row.state;
  return el(
    "article",
    { class: "card answer", tabindex: "-1", "aria-label": `Label ${labelName(row.label)}` },
    el("h3", {}, "Text"),
    markedText(row.text),
    facts([
      ["label", labelName(row.label)],
      ["gold", row.gold],
      ["probabilities", row.probabilities],
      ["state", why],
    ]),
    el("h3", {}, "Reasoning"),
    el("div", { id: "review-reasoning" }, el("p", { class: "reasoning", dir: "auto" }, row.reasoning)),
    isReading ? reasonField() : null,
  );
}

function reasonField() {
  return el(
    "div",
    {},
    el("label", { class: "field-name", for: "review-reason" }, "Why (if you like; Esc leaves the field)"),
    el("input", { id: "review-reason", type: "text" }),
  );
}
