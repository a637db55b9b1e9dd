// The job's progress as it comes. Without this script there is a link that looks again.
"use strict";

const shown = document.querySelector("[data-events]");
const said = document.querySelector("[data-live]");

if (shown && window.EventSource) {
  const source = new EventSource(shown.dataset.events);
  const wait_ms = 400;
  let loading;

  // The history comes first: only what it ends with counts.
  const follow = (status) => {
    window.clearTimeout(loading);
    if (status !== shown.dataset.status) {
      loading = window.setTimeout(() => window.location.reload(), wait_ms);
    }
  };

  const fill = (row, stage) => {
    const unit = row.dataset.unit;
    const bar = row.querySelector("progress");
    bar.max = stage.total;
    bar.value = stage.done;
    row.querySelector("[data-done]").textContent =
      `${stage.done.toLocaleString()} of ${stage.total.toLocaleString()} ${unit}`;
    row.querySelector("[data-rate]").textContent = stage.rate
      ? `${stage.rate.toLocaleString(undefined, { maximumFractionDigits: 1 })} a second`
      : "–";
    const end = stage.done < stage.total ? stage.expected_end : stage.updated_at;
    row.querySelector("[data-end]").textContent = end
      ? new Date(end).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })
      : "–";
  };

  source.addEventListener("status", (event) => follow(JSON.parse(event.data).status));

  source.addEventListener("progress", (event) => {
    const news = JSON.parse(event.data);
    said.textContent = "This page follows the job.";
    for (const stage of news.progress) {
      const row = shown.querySelector(`[data-stage="${stage.stage}"]`);
      if (row) {
        fill(row, stage);
      } else {
        follow("another stage");
        return;
      }
    }
    follow(news.status);
  });

  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      said.textContent = "This page does not follow the job any more: load it again.";
    }
  });

  window.addEventListener("pagehide", () => source.close());
}
