// How predictions look: the text with its evidence, the probabilities as bars, the reasoning or why there is none.

import { el } from "./dom.js";
import { percent } from "./formats.js";

const BARS = 6;
const SHORT_CHARS = 700;
const STATUS = {
  truncated: "The text was too long: its end was not read.",
  reasoning_cut: "The reasoning was too long and was cut.",
  label_forced: "The reasoning did not end by itself; the label was asked for all the same.",
  reasoning_failed: "No reasoning could be written; the label was given without one.",
  abstained: "Abstained: the probability is below the threshold.",
};

export const labelName = (label) => (label === "" ? "no label" : label);

/** Return the text with the stretches marked that the label rests on; `evidence` counts characters as Python does. */
export function markedText(text, evidence) {
  const characters = Array.from(text);
  const pieces = [];
  let place = 0;
  for (const one of [...(evidence ?? [])].sort((a, b) => a.start - b.start)) {
    const start = Math.max(place, one.start);
    const end = Math.min(one.end, characters.length);
    if (start >= end) continue;
    pieces.push(characters.slice(place, start).join(""), mark(characters.slice(start, end).join(""), one.effect));
    place = end;
  }
  pieces.push(characters.slice(place).join(""));
  return el("p", { class: "text", dir: "auto" }, ...pieces);
}

/** The same; a long text is cut, and shown whole on request. */
export function textBlock(text, evidence) {
  if (text.length <= SHORT_CHARS || evidence?.length) return markedText(text, evidence);
  const head = Array.from(text.slice(0, SHORT_CHARS)).slice(0, -1).join("");
  const whole = el("details", { class: "small" }, el("summary", {}, "The whole text"), markedText(text));
  return el("div", {}, markedText(`${head} …`), whole);
}

function mark(text, effect) {
  const lost = 1 - Math.exp(-Math.max(0, effect));
  const title = `Without this the label loses ${percent(lost)} of its probability (${effect.toFixed(2)} nats).`;
  const made = el("mark", { title }, text, el("sup", {}, effect.toFixed(1)));
  made.style.setProperty("--lost", lost.toFixed(2));
  return made;
}

/** Return probabilities by label, the most probable first, as bars with numbers. */
export function bars(probabilities, chosen) {
  const pairs = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  const table = (some) => el("table", { class: "chances" }, el("tbody", {}, ...some.map((pair) => bar(pair, chosen))));
  const first = table(pairs.slice(0, BARS));
  first.prepend(el("caption", { class: "hidden" }, "Probabilities"));
  if (pairs.length <= BARS) return first;
  const more = el("summary", {}, `${pairs.length - BARS} more`);
  return el("div", {}, first, el("details", { class: "small" }, more, table(pairs.slice(BARS))));
}

function bar([label, probability], chosen) {
  const fill = el("span", { class: "fill" });
  fill.style.setProperty("--share", probability);
  return el(
    "tr",
    { class: label === chosen ? "chosen" : null },
    el("th", { scope: "row", dir: "auto" }, label),
    el("td", { class: "track", "aria-hidden": "true" }, fill),
    el("td", { class: "number" }, percent(probability, 1)),
  );
}

/** Return the reasoning, or a sentence that says why none is shown. */
export function reasoningBlock({ reasoning, reasoning_status: status, mode, error }) {
  if (reasoning) {
    const late = "An afterthought: the label rests more on the answer without this reasoning.";
    const note = status === "afterthought" ? el("p", { class: "soft small" }, late) : null;
    return el("div", {}, el("p", { class: "reasoning", dir: "auto" }, reasoning), note);
  }
  const why = /^withheld: (.*)$/s.exec(status ?? "")?.[1];
  if (why) return el("p", { class: "withheld" }, `A reasoning was written, but is withheld: ${why}.`);
  if (error || mode === "fast") return null;
  return el("p", { class: "soft" }, "There is no reasoning.");
}

/** Return what is to be said of a status other than ok; null if nothing is. */
export const statusNote = (status) => (STATUS[status] ? el("p", { class: "soft small" }, STATUS[status]) : null);

/** Return an empty mapping from names to values as the report lists them; `kind` is right or wrong, said by a sign. */
export function facts(pairs) {
  const signs = { right: " ✓", wrong: " ✗" };
  const items = pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value, kind]) =>
      el("div", {}, el("dt", {}, name), el("dd", { class: kind }, el("span", { dir: "auto" }, value), signs[kind])),
    );
  return el("dl", { class: "facts" }, ...items);
}
