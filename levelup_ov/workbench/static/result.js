// One request of an order, as a card: its receipt or refusal, and its whole way to the provider and back.

import { act, bdi, given, make, money } from "/screens/dom.js";
import { curl } from "./api.js";
import { jsonView } from "./json.js";
import { rule } from "./rules.js";

const { errors } = given("facts");

function row(words, id, amount, kind = "") {
  return make("tr", { className: kind },
    make("th", { scope: "row" }, ...[words].flat(), " ", id ? rule(id) : ""),
    make("td", { className: "number", textContent: typeof amount === "number" ? money(amount) : amount }));
}

function receipt(quote) {
  const fees = quote.metadata?.order_fees ?? [];
  const pays = quote.total + quote.tax + (quote.tip ?? 0) - quote.merchant_funded_discount - quote.provider_funded_discount;
  return make("table", { className: "receipt sums" },
    make("caption", { textContent: "Receipt" }),
    make("tbody", {},
      row("Food", "MONEY-3", quote.total),
      fees.map((fee) => row(["of it: ", bdi(String(fee.name))], "MONEY-9", Number(fee.amount), "part")),
      row("Tax", "MONEY-2", quote.tax),
      row("Tip", "MONEY-4", quote.tip ?? "not taken"),
      row("Merchant's discount", "MONEY-5", -quote.merchant_funded_discount),
      row("Provider's discount", "MONEY-6", -quote.provider_funded_discount)),
    make("tfoot", {}, row("The customer pays", "MONEY-7", pays, "total")));
}

function time(local) {
  return local === null || local === undefined ? "no real time" : local.replace("T", ", ");
}

function fact(words, id, value) {
  return [make("dt", {}, `${words} `, rule(id)), make("dd", {}, value)];
}

function times(quote) {
  const slots = quote.available_at;
  return [
    make("dl", { className: "facts" },
      fact("Ready", quote.soonest_available_at === null ? "TIME-7" : "TIME-3", time(quote.soonest_available_at)),
      fact("Other times", "TIME-8",
        slots === null ? "any later time, or no scheduling" : slots.length ? `${slots.length} offered` : "none")),
    slots?.length ? make("ul", { className: "slots", tabIndex: 0, ariaLabel: "Times offered" },
      slots.slice(0, 12).map((slot) => make("li", { className: "tag", textContent: time(slot) })),
      slots.length > 12 && make("li", { className: "soft", textContent: `and ${slots.length - 12} more` })) : null,
  ];
}

function placed(order, answer, calls) {
  const found = calls?.length ? "found at the provider: the order that was placed before" : "replayed: the order that was placed before";
  return make("dl", { className: "facts" },
    fact("Order", "SUB-1", make("strong", { className: "order-id" }, bdi(String(order.order_id)))),
    fact("Ready", "SUB-1", time(order.expected_ready_at)),
    fact("Answer", answer.replayed && calls?.length ? "SUB-5" : "SUB-4", answer.replayed ? found : "placed now"));
}

function refusal({ body, failure, status }) {
  const error = body?.error;
  if (!error) return make("p", { className: "problem", role: "alert", textContent: failure ?? `Status ${status}, without an error.` });
  const known = errors[error.code] ?? {};
  return make("div", { className: "refusal" },
    make("p", { className: "problem", role: "alert" }, make("strong", {}, bdi(error.code)), ": ", bdi(error.message)),
    make("dl", { className: "facts" },
      known.meaning && [make("dt", { textContent: "Meaning" }), make("dd", { textContent: known.meaning })],
      known.remedy && [make("dt", { textContent: "Remedy" }), make("dd", { textContent: known.remedy })],
      error.path && [make("dt", { textContent: "Member" }), make("dd", {}, make("code", {}, bdi(error.path)))],
      make("dt", { textContent: "Again" }),
      make("dd", { textContent: error.retryable ? "The same request may succeed later." : "The same request will fail again." })));
}

function size(text) {
  return `${text.length.toLocaleString("en-US")} characters`;
}

function body(words, text) {
  if (!text) return null;
  return make("details", {}, make("summary", { textContent: `${words}, ${size(text)}` }), make("pre", { tabIndex: 0 }, make("code", {}, bdi(text))));
}

function statusTag(status, failure) {
  if (failure || !status) return make("span", { className: "tag bad", textContent: failure ?? "no answer" });
  return make("span", { className: `tag ${status < 400 ? "good" : "bad"}`, textContent: status });
}

function providerCall(each) {
  const bad = each.failure || each.status >= 400;
  return make("li", { className: bad ? "bad-step" : "good-step", "data-call": `${each.method} ${each.path}` },
    make("div", { className: "step-line" }, make("strong", { textContent: each.method }),
      make("code", {}, bdi(each.host + each.path)), statusTag(each.status, each.failure), `${each.milliseconds} ms`),
    body("Request", each.request), body("Response", each.response));
}

function way(answer, calls) {
  const { sent } = answer;
  const path = answer.body?.error?.path;
  const shown = sent.body === undefined ? make("pre", { tabIndex: 0, textContent: sent.text ?? "" }) : jsonView(sent.body, path);
  const none = calls === null
    ? "What it asked the provider is not kept any more."
    : answer.replayed
      ? "It did not ask the provider: this is the recorded answer."
      : answer.status === 504 || answer.failure ? "It did not reach the provider." : "It did not ask the provider.";
  return make("ol", { className: "steps" },
    make("li", {},
      make("div", { className: "step-line" }, make("strong", { textContent: "The channel asks levelup_ov" }),
        make("code", {}, bdi(`${sent.method} ${decodeURIComponent(sent.path)}`))),
      make("details", { open: Boolean(path) }, make("summary", { textContent: "Our request" }), shown)),
    calls?.length
      ? calls.map(providerCall)
      : make("li", {}, make("p", { className: "soft", textContent: none })),
    make("li", { className: answer.ok ? "good-step" : "bad-step" },
      make("div", { className: "step-line" }, make("strong", { textContent: "levelup_ov answers" }),
        statusTag(answer.status, answer.failure), `${answer.milliseconds} ms`,
        answer.replayed && make("span", { className: "tag", textContent: "Idempotency-Replayed: true" })),
      answer.body && make("details", {}, make("summary", { textContent: "Our answer" }), jsonView(answer.body))));
}

function shell(sent) {
  const line = curl(sent);
  const copied = make("span", { role: "status", className: "soft" });
  const copy = act(async () => {
    await navigator.clipboard.writeText(line);
    copied.textContent = "Copied.";
  }, () => { copied.textContent = "Select the line and copy it."; });
  return make("details", {}, make("summary", { textContent: "The same with curl" }),
    make("div", { className: "curl" }, make("pre", { tabIndex: 0 }, make("code", {}, bdi(line))),
      make("div", { className: "actions" }, make("button", { type: "button", className: "small", textContent: "Copy", onclick: copy }), copied)));
}

// `kind` says what was asked for: validation or submission; `next` are buttons for what can be done now.
export function result(title, kind, answer, calls, envelope, next = []) {
  const member = envelope ? answer.body?.[`order_${kind}`] : answer.body;
  let shown = refusal(answer);
  if (answer.ok && member) shown = kind === "validation" ? [receipt(member), times(member)] : placed(member, answer, calls);
  return make("article", { className: "card result" },
    make("header", {}, make("h3", { textContent: title }), statusTag(answer.status, answer.failure),
      make("span", { className: "soft", textContent: `${answer.milliseconds} ms` })),
    make("div", { className: "halves" },
      make("div", {}, shown, next.length ? make("div", { className: "actions next" }, next) : null, shell(answer.sent)),
      way(answer, calls)));
}
