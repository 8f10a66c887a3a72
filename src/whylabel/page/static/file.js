// File: a CSV is read here, its texts are labelled by the server, and it comes back with the labels.

import { ask } from "./api.js";
import { decoded, delimiterOf, freeNames, hasHeader, parsed, textColumn, written } from "./csv.js";
import { byId, el, fill, say } from "./dom.js";
import { count, percent, plural, seconds } from "./formats.js";
import { labelAll } from "./labelling.js";
import { modeName } from "./try.js";

const MOST_BYTES = 200 * 2 ** 20;
const SHOWN = 5;
const PLACES = 10;
const LAST = ["reasoning", "reasoning_status", "disagrees", "status", "error"];
const RESERVED = ["label", "labels", "probabilities", "evidence", "to_review", "mode", ...LAST];

let server;
let given = null;
let table = null;
let abort = null;
let address = null;

export function start(found) {
  server = found;
  const drop = byId("file-drop");
  byId("file-choose").addEventListener("change", ({ target }) => target.files[0] && read(target.files[0]));
  byId("file-paste").addEventListener("input", ({ target }) => {
    byId("file-choose").value = "";
    take("pasted", target.value, "");
  });
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
  });
  byId("file-delimiter").addEventListener("change", () => lay(byId("file-delimiter").value));
  byId("file-header").addEventListener("change", () => lay(byId("file-delimiter").value, byId("file-header").checked));
  byId("file-column").addEventListener("change", preview);
  document.addEventListener("model", fillModes);
  byId("file-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (abort === null && table?.rows.length) label();
  });
  byId("file-cancel").addEventListener("click", () => abort?.abort());
}

async function read(file) {
  byId("file-paste").value = "";
  if (file.size > MOST_BYTES) return refuse("The file is larger than 200 MiB. Use: whylabel classify --url");
  const [text, encoding] = decoded(new Uint8Array(await file.arrayBuffer()));
  if (text.includes("\0")) return refuse("This is no text file: it holds NUL characters. Save it as CSV first.");
  take(file.name, text, encoding === "UTF-8" ? "" : `It was read as ${encoding}.`);
}

function refuse(message) {
  table = given = null;
  byId("file-options").hidden = true;
  say("file-found", message);
}

function take(name, text, note) {
  if (text.trim() === "") return refuse("");
  given = { name, text, note };
  const delimiter = delimiterOf(text);
  byId("file-delimiter").value = delimiter;
  lay(delimiter);
}

/** Lay the text out as a table; rows with another number of cells than the first are reported, not guessed at. */
function lay(delimiter, header) {
  const { rows: all, unclosed } = parsed(given.text, delimiter);
  if (!all.length) return refuse("There are no rows.");
  header ??= hasHeader(all);
  byId("file-header").checked = header;
  const width = all[0].cells.length;
  const given_names = header ? all[0].cells : Array.from({ length: width }, (_, at) => (width === 1 ? "text" : `column ${at + 1}`));
  const body = header ? all.slice(1) : all;
  const rows = body.filter(({ cells }) => cells.length === width);
  const odd = body.filter(({ cells }) => cells.length !== width);
  table = { names: given_names, rows, odd, width };
  const choice = textColumn(given_names, rows);
  fill(byId("file-column"), given_names.map((name, at) => [String(at), name || `column ${at + 1}`]));
  byId("file-column").value = String(choice);
  fillModes();
  const wrong = unclosed === null ? "" : ` The quote that opens in line ${unclosed} is never closed.`;
  say("file-found", `${plural(rows.length, "row")}, ${plural(width, "column")}. ${oddRows()}${given.note}${wrong}`);
  byId("file-options").hidden = rows.length === 0;
  preview();
}

function fillModes() {
  const { model } = server();
  fill(byId("file-mode"), model.modes.map((mode) => [mode, modeName(mode)]));
}

function oddRows() {
  const { odd, width } = table;
  if (!odd.length) return "";
  const lines = odd.slice(0, PLACES).map(({ line, cells }) => `line ${line} (${cells.length})`);
  const more = odd.length > PLACES ? ` and ${count(odd.length - PLACES)} more` : "";
  return `${plural(odd.length, "row")} left out, as they do not have ${plural(width, "cell")}: ${lines.join(", ")}${more}. `;
}

function preview() {
  const chosen = Number(byId("file-column").value);
  const rows = table.rows.slice(0, SHOWN).map(({ cells }) => cells);
  byId("file-preview").replaceChildren(grid(table.names, rows, chosen));
}

function grid(names, rows, chosen) {
  const cell = (tag) => (value, at) => el(tag, { class: at === chosen ? "chosen" : null, dir: "auto" }, short(value));
  return el(
    "table",
    { class: "grid" },
    el("thead", {}, el("tr", {}, ...names.map(cell("th")))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell("td"))))),
  );
}

const short = (value) => (value.length > 160 ? `${value.slice(0, 159)}…` : value);

async function label() {
  const { model, limits } = server();
  // Another file may be chosen while this one is labelled.
  const { names, rows } = table;
  const column = Number(byId("file-column").value);
  const input = { name: given.name, names, rows, column, odd: oddRows() };
  const mode = byId("file-mode").value;
  const answers = new Array(rows.length).fill(null);
  const started = performance.now();
  let finished = 0;
  abort = new AbortController();
  working(true);
  say("file-status", `Labelling ${plural(rows.length, "row")}.`);
  const done = (place, answer) => {
    finished += answers[place] === null;
    answers[place] = answer;
    byId("file-progress").value = finished / rows.length;
    const left = ((performance.now() - started) / 1000 / finished) * (rows.length - finished);
    byId("file-count").textContent = `${count(finished)} of ${plural(rows.length, "row")}, about ${seconds(left)} left`;
  };
  const waiting = (after, message) => {
    byId("file-count").textContent = `${message} Asking again in ${after} s.`;
  };
  let [labels, ended] = [null, ""];
  try {
    ({ labels } = await ask(`v1/labels?${new URLSearchParams({ model: model.id })}`, { signal: abort.signal }));
    const texts = rows.map(({ cells }) => cells[column]);
    await labelAll(texts, { model: model.id, mode, limits, signal: abort.signal, done, waiting });
  } catch (error) {
    ended = error.name === "AbortError" ? "Cancelled. " : `${error.message} `;
    abort.abort();
  }
  abort = null;
  working(false);
  byId("file-count").textContent = "";
  if (labels !== null) return offer(input, labels, answers, ended);
  say("file-status", `${ended}Nothing was labelled.`);
  byId("file-go").focus();
}

function working(is) {
  byId("file-work").hidden = false;
  byId("file-progress").hidden = !is;
  byId("file-progress").value = 0;
  byId("file-cancel").hidden = !is;
  byId("file-go").disabled = is;
  if (is) {
    byId("file-result").replaceChildren();
    byId("file-labelled").replaceChildren();
    byId("file-cancel").focus();
  }
}

/** Offer the labelled file: every row that was read is in it, labelled or with the reason why not. */
function offer({ name, names, rows, column, odd }, labels, answers, ended) {
  const chances = labels.map((name) => `p(${name})`);
  const columns = [...freeNames(names, [...RESERVED, ...chances]), "label", ...chances, ...LAST];
  const labelled = rows.map(({ cells }, at) => [...cells, ...predicted(answers[at], labels)]);
  const failed = answers.filter((answer) => answer?.status === "failed").length;
  const left = answers.filter((answer) => answer === null).length;
  const parts = [`${count(rows.length - failed - left)} labelled`];
  if (failed) parts.push(`${count(failed)} failed (see their column error)`);
  if (left) parts.push(`${count(left)} not labelled`);
  say("file-status", `${ended}${plural(rows.length, "row")} in the file: ${parts.join(", ")}. ${odd}`);
  if (address !== null) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([written(columns, labelled)], { type: "text/csv" }));
  const saved = `${name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}._ -]/gu, "_")}.labelled.csv`;
  const link = el("a", { class: "button primary", href: address, download: saved }, `Save ${saved}`);
  byId("file-result").replaceChildren(link);
  byId("file-labelled").replaceChildren(glance(rows, column, answers));
  link.focus();
}

/** Return the first rows with what is most worth seeing; the file has the rest. */
function glance(rows, column, answers) {
  const first = rows.slice(0, SHOWN).map(({ cells }, at) => {
    const { label, probabilities, reasoning, reasoning_status: why, status, error } = answers[at] ?? { status: "not labelled" };
    const chance = probabilities?.[label];
    return [cells[column], label ?? "", chance === undefined ? "" : percent(chance), reasoning ?? why ?? "", error ?? status];
  });
  return grid(["text", "label", "probability", "reasoning", "status"], first, 1);
}

const YES_OR_NO = new Map([[true, "yes"], [false, "no"]]);

function predicted(answer, labels) {
  if (answer === null) return ["", ...labels.map(() => ""), "", "", "", "", "not labelled"];
  const { label, probs, reasoning, reasoning_status, disagrees, status, error } = answer;
  const chances = labels.map((_, at) => (probs?.length ? probs[at].toFixed(6) : ""));
  return [label ?? "", ...chances, reasoning ?? "", reasoning_status ?? "", YES_OR_NO.get(disagrees) ?? "", status, error ?? ""];
}
