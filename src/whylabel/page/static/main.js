// The page: what the server has, its tabs, and the parts that stand in them.

import { ask, askPatiently, forgetKey, hasKey } from "./api.js";
import * as compare from "./compare.js";
import { byId, fill, say } from "./dom.js";
import * as errors from "./errors.js";
import * as file from "./file.js";
import { count } from "./formats.js";
import * as report from "./report.js";
import * as review from "./review.js";
import * as tryOut from "./try.js";

let server = { models: [], model: null, runs: [], limits: {} };

async function load() {
  const waiting = (after, message) => say("loading", `${message} Asking again in ${after} s.`);
  const { data: models } = await askPatiently("v1/models", { waiting });
  const { runs, limits } = await ask("v1/page");
  server = { models, model: models[0], runs, limits };
  fill(byId("model"), models.map(({ id }) => [id, id]));
  byId("model-field").hidden = models.length < 2;
  choose(models[0].id);
  const most = Math.max(...models.map(({ modes }) => modes.length));
  byId("tab-file").hidden = false;
  byId("tab-compare").hidden = models.length < 2 && most < 2;
  byId("tab-errors").hidden = !runs.some((run) => run.predictions);
  byId("tab-review").hidden = !runs.some((run) => run.predictions || run.reasonings);
  byId("tab-report").hidden = !runs.some((run) => run.report);
  byId("loading").hidden = true;
  byId("forget-key").hidden = !hasKey();
  byId("tabs").hidden = false;
}

/** Let a model answer in Try and File. */
function choose(id) {
  const model = server.models.find((one) => one.id === id);
  server.model = model;
  document.title = `${model.id} · whylabel`;
  byId("question").textContent = model.question || model.id;
  byId("served").textContent = `whylabel · ${model.id} · ${count(model.labels)} labels · ${model.engine} on ${model.device}`;
  document.dispatchEvent(new Event("model"));
}

function tabs() {
  return [...document.querySelectorAll('[role="tab"]')].filter((tab) => !tab.hidden);
}

/** Show the panel of a tab and hide the others. */
function show(tab, focus = false) {
  for (const other of document.querySelectorAll('[role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    const panel = byId(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = !chosen;
  }
  if (focus) tab.focus();
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  document.dispatchEvent(new CustomEvent("shown", { detail: tab.getAttribute("aria-controls") }));
}

function wireTabs() {
  const list = byId("tabs");
  list.addEventListener("click", (event) => {
    if (event.target.role === "tab") show(event.target);
  });
  list.addEventListener("keydown", (event) => {
    const all = tabs();
    const at = all.indexOf(event.target);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    show(all[(next + all.length) % all.length], true);
  });
  window.addEventListener("hashchange", () => {
    const tab = tabs().find((one) => `#${one.getAttribute("aria-controls")}` === location.hash);
    if (tab) show(tab);
  });
}

byId("model").addEventListener("change", ({ target }) => choose(target.value));
byId("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
wireTabs();
for (const part of [tryOut, file, compare, errors, review, report]) part.start(() => server);
document.addEventListener("try", ({ detail }) => {
  byId("try-text").value = detail;
  show(byId("tab-try"));
  byId("try-text").focus();
});
try {
  await load();
  show(tabs().find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash) ?? byId("tab-try"));
} catch (error) {
  say("loading", `${error.message} Reload the page to ask again.`);
}
