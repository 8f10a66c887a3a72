// Review: reasonings are dealt one by one and accepted, edited or rejected, by keyboard alone if one likes.

import { ApiError, ask } from "./api.js";
import { byId, el, fill, say } from "./dom.js";
import { plural, rate } from "./formats.js";
import { reviewCard } from "./review_card.js";

const NAME = "whylabel-name";
const BATCH = 10;
const KINDS = {
  kept: "Reasonings for training: kept",
  dropped: "Reasonings for training: dropped",
  blind: "Beside predictions, blind",
  open: "Beside predictions, with gold label",
};
const DONE = { accepted: "Accepted", edited: "Edited", rejected: "Rejected", cleared: "Undone" };

let server;
let queue = [];
let skipped = 0;
let left = 0;
let undoable = [];
let current = null;
let editing = null;
// What is reviewed now, an object of its own each time: an answer that comes when it is another one is too late.
let begun = null;
let busy = false;

export function start(given) {
  server = given;
  byId("review-by").value = sessionStorage.getItem(NAME) ?? "";
  byId("review-form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(true);
  });
  byId("review-form").addEventListener("change", (event) => {
    if (event.target.id === "review-keys") return;
    if (event.target.id === "review-run") fillKinds();
    begin(event.target.id === "review-by");
  });
  for (const [name, act] of Object.entries(ACTIONS)) byId(`review-${name}`).addEventListener("click", act);
  document.addEventListener("keydown", pressed);
  document.addEventListener("shown", ({ detail }) => {
    if (detail !== "review" || byId("review-what").options.length) return;
    const runs = server().runs.filter((run) => run.predictions || run.reasonings);
    fill(byId("review-run"), runs.map(({ name }) => [name, name]));
    byId("review-run-field").hidden = runs.length < 2;
    fillKinds();
    if (byId("review-by").value) begin(true);
    else say("review-status", "Say who you are: decisions are kept with their author.");
  });
}

const ACTIONS = {
  accept: () => decide("accepted"),
  edit: () => edit(),
  reject: () => decide("rejected"),
  skip: () => skip(),
  undo: () => undo(),
};
const KEYS = { a: "accept", e: "edit", r: "reject", s: "skip", u: "undo" };

const runName = () => byId("review-run").value;
const path = (rest) => `v1/runs/${encodeURIComponent(runName())}/${rest}`;
const person = () => byId("review-by").value.trim();
const kind = () => byId("review-what").value;
const isReading = () => ["blind", "open"].includes(kind());

function fillKinds() {
  const run = server().runs.find(({ name }) => name === runName());
  const kinds = [...(run.reasonings ? ["kept", "dropped"] : []), ...(run.predictions ? ["blind", "open"] : [])];
  fill(byId("review-what"), kinds.map((one) => [one, KINDS[one]]));
}

/** Deal anew where person, run or kind of row are others than before. */
async function begin(focus) {
  const choice = JSON.stringify([person(), runName(), kind()]);
  if (choice === begun?.choice && current !== null) return byId("review-card").firstElementChild.focus();
  begun = { choice };
  [queue, skipped, undoable, current, editing] = [[], 0, [], null, null];
  const helps = {
    kept: "What you reject is dropped, what you edit is used as you wrote it. Decisions take effect with the next whylabel run.",
    dropped: "What you accept or edit is used, whatever the filters say. Decisions take effect with the next whylabel run.",
    blind: "Is this a good reason for the label? You see neither the gold label nor the probabilities.",
    open: "Is this a good reason for the label?",
  };
  byId("review-help").textContent = `${helps[kind()]} Keys: A accept, E edit, R reject, S skip, U undo; in an edit Ctrl+Enter saves, Esc leaves it.`;
  byId("review-edit").hidden = isReading();
  clear();
  if (!person()) return say("review-status", "Say who you are: decisions are kept with their author.");
  sessionStorage.setItem(NAME, person());
  say("review-status", "");
  await next(focus);
}

async function next(focus = true) {
  const mine = begun;
  try {
    if (!queue.length) await deal();
  } catch (error) {
    if (mine !== begun) return;
    clear();
    return say("review-status", error.message);
  }
  if (mine !== begun) return;
  current = queue.shift() ?? null;
  editing = null;
  byId("review-conflict").hidden = true;
  offerActions();
  const nothing = el("p", { tabindex: "-1" }, "Nothing is left here.");
  byId("review-card").replaceChildren(current === null ? nothing : reviewCard(current, isReading()));
  if (focus) byId("review-card").firstElementChild.focus();
}

function offerActions() {
  byId("review-actions").hidden = current === null && !undoable.length;
  for (const name of ["accept", "edit", "reject", "skip"]) byId(`review-${name}`).disabled = current === null;
  byId("review-undo").disabled = !undoable.length;
}

async function deal() {
  const [mine, reading] = [begun, isReading()];
  const query = new URLSearchParams({ by: person(), limit: reading ? 5 : BATCH, offset: skipped });
  if (reading) query.set("blind", kind() === "blind" ? "yes" : "no");
  else query.set("state", kind());
  const route = reading ? "readings" : "reasonings";
  const { data, found, progress, accepted } = await ask(path(`${route}?${query}`));
  if (mine !== begun) return;
  left = found;
  tell(reading ? { accepted } : progress);
  queue = data;
  if (!data.length && skipped) {
    // What was skipped is dealt again when nothing else is left.
    skipped = 0;
    if (found) await deal();
  }
}

function tell(progress) {
  const parts = [];
  if (isReading()) {
    if (progress.accepted) parts.push(`You accepted ${rate(progress.accepted)}.`);
  } else {
    if (progress.mine) parts.push(`You accepted ${rate(progress.mine)} as they stood.`);
    const { verdicts } = progress;
    const all = Object.entries(verdicts).map(([verdict, n]) => `${n} ${verdict}`);
    if (progress.accepted) parts.push(`Everybody: ${rate(progress.accepted)}; ${all.join(", ")}.`);
  }
  parts.push(`${plural(left, "row")} left.`);
  byId("review-progress").textContent = parts.join(" ");
}

function edit(written = null) {
  if (current === null || isReading()) return;
  editing = written ?? editing;
  const field = el("textarea", { id: "review-text", rows: "5", dir: "auto" });
  field.value = editing ?? current.reasoning;
  const save = el("button", { type: "button", class: "primary" }, "Save the edit ", el("kbd", {}, "Ctrl+Enter"));
  save.addEventListener("click", () => decide("edited", field.value));
  const leave = el("button", { type: "button" }, "Leave it ", el("kbd", {}, "Esc"));
  leave.addEventListener("click", leaveEdit);
  field.addEventListener("input", () => (editing = field.value));
  const label = el("label", { class: "field-name", for: "review-text" }, "The reasoning, as it should be");
  byId("review-reasoning").replaceChildren(label, field, el("div", { class: "row" }, save, leave));
  field.focus();
}

function leaveEdit() {
  editing = null;
  byId("review-reasoning").replaceChildren(el("p", { class: "reasoning", dir: "auto" }, current.reasoning));
  byId("review-card").firstElementChild.focus();
}

async function decide(verdict, reasoning = "") {
  if (current === null || busy) return;
  const [mine, row] = [begun, current];
  const reason = byId("review-reason")?.value ?? "";
  await send(async () => {
    const done = isReading() ? await read(row, verdict, reason) : await record(row, verdict, reasoning);
    say("review-status", `${DONE[verdict]}.`);
    if (mine !== begun) return;
    undoable.push({ row: done, before: row.decision });
    await next();
  });
}

async function skip() {
  if (current === null || busy) return;
  skipped += 1;
  await send(async () => {
    say("review-status", "Skipped.");
    await next();
  });
}

async function undo() {
  if (!undoable.length || busy) return;
  const mine = begun;
  const { row, before } = undoable.at(-1);
  await send(async () => {
    let again;
    try {
      again = isReading() ? await read(row, "cleared", "") : await restore(row, before);
    } catch (error) {
      // Where somebody has decided since, or the row is gone, it would be refused again.
      if (mine === begun && (error.row || error.status === 404)) {
        undoable.pop();
        offerActions();
      }
      throw error;
    }
    if (mine !== begun) return say("review-status", "Undone.");
    undoable.pop();
    if (current !== null) queue.unshift(current);
    queue.unshift(again);
    const lost = before && again.decision === null;
    say("review-status", lost ? `Undone. Nothing is decided on it now; before, ${before.by} ${before.verdict} it.` : "Undone: here it is again.");
    await next();
  });
}

/** Record what was decided before; what somebody else decided is not for this person to sign. */
function restore(row, before) {
  if (!before || before.by !== row.decision?.by) return record(row, "cleared");
  return record(row, before.verdict, before.verdict === "edited" ? before.reasoning : "", before.note);
}

/** Do something that is recorded; while it is under way, keys do nothing. */
async function send(work) {
  const mine = begun;
  busy = true;
  byId("review-conflict").hidden = true;
  try {
    await work();
  } catch (error) {
    if (mine === begun && error instanceof ApiError && error.status === 409 && error.row) conflict(error);
    else say("review-status", `Nothing was recorded: ${error.message}`);
  }
  busy = false;
}

async function record(row, verdict, reasoning = "", note = "") {
  const mine = begun;
  const body = { by: person(), row: row.row, reasoning_hash: row.reasoning_hash, known: row.known, verdict, reasoning, note };
  const { row: found, progress } = await ask(path("decisions"), { body });
  if (mine !== begun) return found;
  left += (found.decision === null) - (row.decision === null);
  tell(progress);
  return found;
}

async function read(row, verdict, reason) {
  const mine = begun;
  const body = { by: person(), id: row.id, verdict, reason, blind: kind() === "blind" };
  const { accepted } = await ask(path("readings"), { body });
  if (mine !== begun) return row;
  left += verdict === "cleared" ? 1 : -1;
  tell({ accepted });
  return row;
}

/** Somebody else was faster: show what they decided, and let the person choose. */
function conflict({ message, row }) {
  // An undo is about another row than that on the card, which stays to be decided on.
  const same = current?.row === row.row;
  const banner = byId("review-conflict");
  const { decision } = row;
  const theirs = decision ? `${decision.by} ${decision.verdict} it at ${decision.at}${decision.verdict === "edited" ? `: “${decision.reasoning}”` : ""}.` : "";
  const keep = el("button", { type: "button" }, "Leave theirs, go on");
  keep.addEventListener("click", () => {
    if (same) return next();
    banner.hidden = true;
    byId("review-card").firstElementChild.focus();
  });
  const look = el("button", { type: "button" }, "Decide on it all the same");
  look.addEventListener("click", async () => {
    const written = same ? editing : null;
    if (!same && current !== null) queue.unshift(current);
    queue.unshift(row);
    await next();
    if (written !== null && current === row) edit(written);
  });
  banner.replaceChildren(el("p", {}, `Nothing was recorded. ${message} ${theirs}`), el("div", { class: "row" }, keep, look));
  banner.hidden = false;
  keep.focus();
}

function pressed(event) {
  if (byId("review").hidden || document.querySelector("dialog[open]")) return;
  const inField = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  if (event.target.id === "review-text") {
    if (event.key === "Escape") leaveEdit();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) decide("edited", event.target.value);
    return;
  }
  if (event.target.id === "review-reason" && event.key === "Escape") byId("review-card").firstElementChild.focus();
  if (inField || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !byId("review-keys").checked) return;
  const act = ACTIONS[KEYS[event.key.toLowerCase()]];
  if (!act || byId("review-actions").hidden) return;
  event.preventDefault();
  act();
}

function clear() {
  byId("review-card").replaceChildren();
  byId("review-actions").hidden = true;
  byId("review-conflict").hidden = true;
  byId("review-progress").textContent = "";
}
