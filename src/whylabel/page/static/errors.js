// Errors: a run's test predictions, filtered and paged by the server.

import { ask } from "./api.js";
import { byId, el, fill, say } from "./dom.js";
import { count, percent, plural } from "./formats.js";
import { facts, labelName, reasoningBlock, statusNote, textBlock } from "./prediction.js";

const LIMIT = 20;
const FILTERS = ["model", "mode", "answer", "gold", "label", "disagrees", "reasoning", "search"];
let offset = 0;
let latest = 0;
let filled = null;

export function start(server) {
  const form = byId("errors-form");
  let timer;
  const again = () => {
    offset = 0;
    load();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.id === "errors-run") filled = null;
    if (event.target.id === "errors-model") byId("errors-mode").value = "";
    if (event.target.id !== "errors-search") again();
  });
  byId("errors-search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(again, 300);
  });
  byId("errors-before").addEventListener("click", () => turn(-LIMIT));
  byId("errors-after").addEventListener("click", () => turn(LIMIT));
  document.addEventListener("shown", ({ detail }) => {
    if (detail !== "errors" || filled !== null) return;
    const runs = server().runs.filter((run) => run.predictions);
    fill(byId("errors-run"), runs.map(({ name }) => [name, name]));
    byId("errors-run-field").hidden = runs.length < 2;
    again();
  });
}

async function turn(by) {
  offset = Math.max(0, offset + by);
  await load();
  byId("errors-status").focus();
}

async function load() {
  const mine = ++latest;
  const run = byId("errors-run").value;
  const first = filled !== run;
  const query = new URLSearchParams({ offset, limit: LIMIT });
  if (first) query.set("model", "classifier");
  for (const name of FILTERS) {
    const { value } = byId(`errors-${name}`);
    if (value !== "" && !(first && ["model", "mode", "gold", "label"].includes(name))) query.set(name, plain(value));
  }
  byId("errors-list").setAttribute("aria-busy", "true");
  try {
    const found = await ask(`v1/runs/${encodeURIComponent(run)}/predictions?${query}`);
    if (mine !== latest) return;
    fillFilters(found, first);
    filled = run;
    if (first && byId("errors-model").value !== "classifier") return load();
    show(found);
  } catch (error) {
    if (mine !== latest) return;
    byId("errors-list").replaceChildren();
    say("errors-status", error.message);
  }
  byId("errors-list").setAttribute("aria-busy", "false");
}

// An option's value "" means any, so a label that is empty itself is offered as this.
const EMPTY = "\u0000";
const plain = (value) => (value === EMPTY ? "" : value);

function fillFilters({ models, labels }, first) {
  const model = byId("errors-model");
  fill(model, [["", "any"], ...Object.keys(models).map((name) => [name, name])]);
  if (first && "classifier" in models) model.value = "classifier";
  const modes = model.value === "" ? Object.values(models).flat() : (models[model.value] ?? []);
  fill(byId("errors-mode"), [["", "any"], ...[...new Set(modes)].map((name) => [name, name])]);
  for (const name of ["gold", "label"]) {
    fill(byId(`errors-${name}`), [["", "any"], ...labels.map((label) => [label === "" ? EMPTY : label, labelName(label)])]);
  }
}

function show({ found, offset: from, data }) {
  const to = from + data.length;
  const which = found > LIMIT ? `, ${count(from + 1)} to ${count(to)} shown` : "";
  say("errors-status", found ? `${plural(found, "prediction")}${data.length ? which : ""}` : "No prediction is like that.");
  byId("errors-list").replaceChildren(...data.map(card));
  byId("errors-pager").hidden = found <= LIMIT;
  byId("errors-before").disabled = from === 0;
  byId("errors-after").disabled = to >= found;
  byId("errors-page").textContent = `${count(Math.floor(from / LIMIT) + 1)} of ${count(Math.ceil(found / LIMIT))}`;
}

function card(row) {
  const kind = row.right ? "right" : "wrong";
  const again = el("button", { type: "button", class: "link" }, "Try this text");
  again.addEventListener("click", () => {
    document.dispatchEvent(new CustomEvent("try", { detail: row.text }));
  });
  const disagrees = row.disagrees ? el("p", { class: "small" }, "Without the reasoning the label would be another.") : null;
  return el(
    "article",
    { class: `card ${kind}`, "aria-label": `${row.id}: ${kind}` },
    textBlock(row.text, row.evidence),
    facts([
      ["gold", labelName(row.gold)],
      ["predicted", row.status === "failed" ? "failed" : labelName(row.label), kind],
      ["probability", row.probability === null ? null : percent(row.probability)],
      ["model", `${row.model}, ${row.mode}`],
      ["id", row.id],
    ]),
    row.error ? el("p", { class: "error" }, row.error) : null,
    statusNote(row.status),
    disagrees,
    written(row),
    again,
  );
}

/** The reasoning; one that is withheld is to be had on request, as here somebody looks for what went wrong. */
function written(row) {
  if (!row.reasoning || !/^withheld/.test(row.reasoning_status ?? "")) return reasoningBlock(row);
  const reasoning = el("p", { class: "reasoning", dir: "auto" }, row.reasoning);
  return el("details", { class: "small" }, el("summary", {}, `Reasoning ${row.reasoning_status}`), reasoning);
}
