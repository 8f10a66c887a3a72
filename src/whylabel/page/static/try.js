// Try: one text, answered at once and with a reasoning, side by side.

import { Answer } from "./answer.js";
import { byId, say } from "./dom.js";
import { labelName } from "./prediction.js";

const TITLES = {
  fast: "At once",
  reasoned: "With a reasoning",
  vote: "By a vote of several reasonings",
  adaptive: "With a reasoning where in doubt",
  blend: "Both blended",
};

export const modeName = (mode) => `${TITLES[mode] ?? mode} (${mode})`;

export function start(server) {
  let abort = new AbortController();
  const form = byId("try-form");
  const stop = byId("try-stop");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    stop.hidden = false;
    await answer(server(), byId("try-text").value, byId("try-evidence").checked, signal);
    if (!signal.aborted) stop.hidden = true;
  });
  byId("try-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => {
    abort.abort();
    stop.hidden = true;
    byId("try-text").focus();
  });
}

async function answer({ model }, text, evidence, signal) {
  const modes = ["fast", model.modes.find((mode) => mode === "reasoned") ?? model.modes.find((mode) => mode !== "fast")];
  const answers = modes.filter((mode) => model.modes.includes(mode)).map((mode) => [mode, new Answer(modeName(mode))]);
  byId("try-answers").replaceChildren(...answers.map(([, one]) => one.card));
  byId("try-disagreement").hidden = true;
  say("try-status", "The model is reading.");
  // One after the other, so that neither takes the other's time.
  for (const [mode, one] of answers) await one.ask({ text, model: model.id, mode, evidence, signal });
  if (signal.aborted) return say("try-status", "Stopped.");
  compare(answers.map(([, one]) => one.result));
  say("try-status", answers.map(([, one]) => one.sentence).join(" "));
  const [mode, first] = answers[0];
  if (evidence && mode === "fast" && first.result) await first.markEvidence({ model: model.id, signal });
}

function compare([fast, reasoned]) {
  const banner = byId("try-disagreement");
  const both = fast && reasoned && fast.status !== "failed" && reasoned.status !== "failed";
  banner.hidden = !both || fast.label === reasoned.label;
  if (banner.hidden) return;
  const after = reasoned.mode === "reasoned" ? "with the reasoning" : `in mode ${reasoned.mode}`;
  banner.textContent = `They disagree: at once ${labelName(fast.label)}, ${after} ${labelName(reasoned.label)}.`;
}
