// A rule's id shows its text in a dialog, so that nobody leaves a half-filled cart; without it, it is a link.

import { given, make } from "/screens/dom.js";

const { rules } = given("facts");
const dialog = document.getElementById("rule");

export function rule(id) {
  return make("a", { className: "rule", href: `/workbench/rules#${id}`, "data-rule": id, textContent: id });
}

document.addEventListener("click", (event) => {
  const id = event.target.closest?.("a[data-rule]")?.dataset.rule;
  if (!rules[id] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  document.getElementById("rule-id").textContent = id;
  document.getElementById("rule-text").textContent = rules[id];
  dialog.showModal();
});
