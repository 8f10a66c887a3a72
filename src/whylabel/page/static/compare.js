// Compare: two models, or two modes of one, on the same text.

import { Answer } from "./answer.js";
import { byId, fill, say } from "./dom.js";
import { labelName } from "./prediction.js";
import { modeName } from "./try.js";

export function start(server) {
  let abort = new AbortController();
  const form = byId("compare-form");
  const stop = byId("compare-stop");
  document.addEventListener("shown", ({ detail }) => {
    if (detail === "compare" && !byId("compare-left").options.length) choices(server().models);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    abort.abort();
    abort = new AbortController();
    stop.hidden = false;
    const { signal } = abort;
    await compare(server().models, signal);
    if (!signal.aborted) stop.hidden = true;
  });
  byId("compare-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => {
    abort.abort();
    stop.hidden = true;
    byId("compare-text").focus();
  });
}

const pairs = (models) => models.flatMap((model) => model.modes.map((mode) => ({ model, mode })));
const named = (models, { model, mode }) => (models.length > 1 ? `${model.id}: ${modeName(mode)}` : modeName(mode));

function choices(models) {
  const all = pairs(models);
  const options = all.map((pair, at) => [String(at), named(models, pair)]);
  fill(byId("compare-left"), options);
  fill(byId("compare-right"), options);
  const second = models.length > 1 ? all.findIndex(({ model }) => model === models[1]) : Math.min(1, all.length - 1);
  byId("compare-right").value = String(second);
  const one = `This server serves one model, so its modes are compared. For two models: whylabel serve MODEL MODEL.`;
  byId("compare-help").textContent = models.length > 1 ? `${models.length} models are served.` : one;
}

async function compare(models, signal) {
  const all = pairs(models);
  const text = byId("compare-text").value;
  const evidence = byId("compare-evidence").checked;
  const two = ["left", "right"].map((side) => all[Number(byId(`compare-${side}`).value)]);
  const answers = two.map((pair) => new Answer(named(models, pair)));
  byId("compare-answers").replaceChildren(...answers.map(({ card }) => card));
  byId("compare-disagreement").hidden = true;
  say("compare-status", "The first is reading.");
  // One after the other, so that neither takes the other's time.
  for (const [at, { model, mode }] of two.entries()) {
    await answers[at].ask({ text, model: model.id, mode, evidence, signal });
  }
  if (signal.aborted) return;
  const [left, right] = answers.map(({ result }) => (result?.status === "failed" ? null : result));
  const banner = byId("compare-disagreement");
  banner.hidden = !left || !right || left.label === right.label;
  if (!banner.hidden) banner.textContent = `They disagree: ${labelName(left.label)} and ${labelName(right.label)}.`;
  say("compare-status", answers.map((one) => one.sentence).join(" "));
  for (const [at, { model, mode }] of two.entries()) {
    if (evidence && mode === "fast" && answers[at].result) await answers[at].markEvidence({ model: model.id, signal });
  }
}
