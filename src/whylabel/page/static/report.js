// Report: the run's own page, in a frame in which no script runs.

import { ask } from "./api.js";
import { byId, fill, say } from "./dom.js";

export function start(server) {
  const open = async () => {
    say("report-status", "");
    try {
      const { url } = await ask(`v1/runs/${encodeURIComponent(byId("report-run").value)}/report`, { body: {} });
      byId("report-frame").src = url;
      byId("report-frame").hidden = false;
    } catch (error) {
      byId("report-frame").hidden = true;
      say("report-status", error.message);
    }
  };
  byId("report-run").addEventListener("change", open);
  document.addEventListener("shown", ({ detail }) => {
    if (detail !== "report") return;
    const runs = server().runs.filter((run) => run.report);
    fill(byId("report-run"), runs.map(({ name }) => [name, name]));
    byId("report-run-field").hidden = runs.length < 2;
    open();
  });
}
