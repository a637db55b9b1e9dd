// What every page gains where scripts run; each works without.
"use strict";

// Moments in the reader's own zone; the text in UTC stays as a hint.
for (const element of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(element.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    element.title = element.textContent;
    element.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

// A question before what cannot be taken back.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) {
      event.preventDefault();
    }
  });
}

// A filter that is sent when it is chosen.
for (const field of document.querySelectorAll("[data-send]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// Keys that lead to a field or a link: those with data-key. Never while somebody types.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const element = [...document.querySelectorAll("[data-key]")].find((place) => place.dataset.key === event.key);
  if (element) {
    event.preventDefault();
    if (element.matches("a, button")) {
      element.click();
    } else {
      element.focus();
    }
  }
});
