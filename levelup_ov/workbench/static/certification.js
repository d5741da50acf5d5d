// Starts a run of the certification, and shows how far it is.

import { act, bdi, given, make, waiting } from "/screens/dom.js";
import { call, key, places, words } from "./api.js";
import { rule } from "./rules.js";

const POLL = 400; // milliseconds between two looks at a run
const facts = given("facts");
const one = (id) => document.getElementById(id);
const KINDS = { violation: "bad", deviation: "warn", pass: "good", "not applicable": "" };

function complain(error) {
  one("problem").textContent = error.message;
  one("problem").hidden = false;
}

function failure({ location, detail, request, answer }) {
  return make("div", {},
    make("p", {}, location ? `${location}: ` : "", bdi(detail)),
    request && make("pre", { tabIndex: 0 }, make("code", {}, bdi(`> ${request}\n< ${answer}`))));
}

function check(each) {
  return make("li", {},
    make("span", { className: `tag ${KINDS[each.result]}`, textContent: each.result }), " ", bdi(each.title),
    each.failures.map(failure),
    each.left_out > 0 && make("p", { className: "soft", textContent: `and ${each.left_out} more` }),
    each.result === "not applicable" && make("div", { className: "soft" },
      [...new Set(each.reasons.map(({ reason }) => reason))].map((reason) => make("div", {}, bdi(reason)))));
}

// One rule; a broken one is open.
function row(found, opened) {
  const bad = found.result === "violation" || found.result === "deviation";
  return make("details", { className: "card rule-row", open: bad || opened.has(found.id), "data-id": found.id },
    make("summary", {}, found.id, " ", make("span", { className: `tag ${KINDS[found.result]}`, textContent: found.result }),
      make("span", { className: "about", textContent: facts.rules[found.id] })),
    make("p", { className: "soft" }, found.reason ? bdi(found.reason) : null, " ", rule(found.id)),
    make("ul", { className: "plain" }, found.checks.map(check)));
}

function show(found) {
  one("outcome").hidden = false;
  one("nothing").hidden = true;
  const counts = found.rule_counts ?? {};
  one("counts").replaceChildren(...Object.entries(counts).map(([result, number]) =>
    make("div", { className: "tile" }, make("strong", { textContent: number }), result)));
  const opened = new Set([...document.querySelectorAll(".rule-row[open]")].map((each) => each.dataset.id));
  const worst = Object.keys(KINDS);
  const sorted = [...(found.rules ?? [])].sort((a, b) => worst.indexOf(a.result) - worst.indexOf(b.result));
  one("rules").replaceChildren(...sorted.map((each) => row(each, opened)));
  if (found.state === "running") return;
  const broken = counts.violation ?? 0;
  const orders = (found.orders ?? []).map((each) => String(each.order_id)).join(", ");
  one("summary").replaceChildren(
    make("p", {
      className: found.state === "failed" || broken || found.stopped ? "problem" : "good", role: "status",
    }, found.reason ? bdi(found.reason) : found.stopped ?? (broken ? `${broken} rules are broken.` : "No rule is broken."),
    found.requests ? ` ${found.requests} requests in ${found.seconds} seconds.` : ""),
    orders && make("p", {}, "Orders were placed: ", bdi(orders)));
}

async function certify() {
  one("problem").hidden = true;
  one("summary").replaceChildren();
  const asked = { location: one("location").value, submit: one("submits").checked };
  const begun = await call("POST", "/workbench/certifications", asked);
  if (!begun.ok) throw new Error(words(begun));
  const step = make("p", { className: "waiting", textContent: "Starting" });
  one("progress").replaceChildren(step);
  try {
    for (;;) {
      const answer = await call("GET", `/workbench/certifications/${begun.body.id}`);
      if (!answer.ok) throw new Error(words(answer));
      if (!answer.body) throw new Error("This run is not kept any more. Start it again.");
      show(answer.body);
      if (answer.body.state !== "running") return;
      step.textContent = answer.body.step;
      await new Promise((done) => setTimeout(done, POLL));
    }
  } finally {
    step.remove();
  }
}

async function start() {
  const lists = await waiting(one("progress"), "Asking the providers for their locations", Promise.all(facts.accounts.map(places)));
  const options = lists.flatMap(({ found }) => found).map((place) =>
    make("option", { value: place.provider_id, textContent: `${place.name} (${place.provider_id})` }));
  one("location").replaceChildren(...options);
  if (facts.location) one("location").value = facts.location;
  const failed = lists.find(({ answer }) => !answer.ok);
  if (failed) complain(new Error(words(failed.answer)));
}

one("plan").addEventListener("submit", act(certify, complain));
if (key) start();
