// The page of a location: menu, cart, and what happens to the order.

import { act, bdi, given, make, money, waiting } from "/screens/dom.js";
import { call, callsOf, key, places, words } from "./api.js";
import { Menu } from "./menu.js";
import { result } from "./result.js";

const facts = given("facts");
const one = (id) => document.getElementById(id);
const path = `/locations/${encodeURIComponent(facts.location)}`;
const OTHER = "other";
const YEAR = String(new Date().getFullYear() + 4);

let menu = null;
let cart = [];
let metadata = {}; // of the latest validation; it belongs to the items that were validated (META-2)
let identity = newIdentity();

function newIdentity() {
  const fresh = `workbench-${crypto.randomUUID()}`;
  one("identity").value = fresh;
  return fresh;
}

function complain(error) {
  one("problem").textContent = error.message;
  one("problem").hidden = false;
  one("problem").scrollIntoView({ block: "nearest" });
}

// The cart.

function changed() {
  metadata = {};
  if (one("identity").value === identity) identity = newIdentity();
  sessionStorage.setItem(`cart ${facts.location}`, JSON.stringify(cart));
  const count = cart.reduce((sum, line) => sum + line.quantity, 0);
  one("no-lines").hidden = count > 0;
  one("to-order").hidden = !count;
  one("to-order").textContent = `To the order, ${count} dish${count > 1 ? "es" : ""}`;
  one("lines").replaceChildren(...cart.map((line, at) => make("li", {},
    make("strong", {}, `${line.quantity} × `, bdi(line.name)),
    line.options.map((option) => make("div", { className: "soft" },
      option.quantity > 1 ? `${option.quantity} × ` : "", bdi(option.name), option.price ? ` +${money(option.price)}` : "")),
    line.note && make("div", { className: "soft" }, "“", bdi(line.note), "”"),
    make("div", { className: "actions" },
      make("button", { type: "button", className: "small", onclick: () => change(at) }, "Change",
        make("span", { className: "hidden-text", textContent: ` ${line.name}` })),
      make("button", { type: "button", className: "small", onclick: () => remove(at) }, "Remove",
        make("span", { className: "hidden-text", textContent: ` ${line.name}` }))))));
  shown();
}

function add(line) {
  cart.push(line);
  changed();
}

function change(at) {
  const item = menu?.wire.categories.flatMap((each) => each.category.items).find((each) => each.item.provider_id === cart[at].id);
  if (item) menu.open(one("dish"), item.item, (line) => { cart[at] = line; changed(); }, cart[at]);
}

function remove(at) {
  cart.splice(at, 1);
  changed();
  one("order-title").scrollIntoView({ block: "nearest" });
}

// The request.

function cents(id, words_) {
  const text = one(id).value.trim() || "0";
  if (!/^\d{1,7}([.,]\d{1,2})?$/.test(text)) throw new Error(`${words_}: write dollars and cents, such as 2.50.`);
  const [whole, part = ""] = text.split(/[.,]/);
  return Number(whole) * 100 + Number(part.padEnd(2, "0"));
}

function readyTime() {
  const chosen = one("ready").value;
  return (chosen === OTHER ? one("at").value : chosen) || null;
}

function delivers() {
  return document.querySelector("[name=fulfillment]:checked").value === "delivery";
}

function order() {
  const note = [one("note").value.trim(), one("token")?.value].filter(Boolean).join(" ");
  const address = {
    street_address: one("street").value, locality: one("locality").value, region: one("region").value,
    postal_code: one("postal").value,
  };
  return {
    desired_ready_time: readyTime(),
    ...(delivers() ? { fulfillment_type: "delivery", delivery_address: address } : { fulfillment_type: "pickup" }),
    special_instructions: note || null,
    tip: cents("tip", "Tip"),
    merchant_funded_discount: cents("discount", "Discount"),
    user: { name: one("name").value, phone: one("phone").value, email: one("email").value },
    items: cart.map((line) => ({
      item: {
        provider_id: line.id, quantity: line.quantity, special_instructions: line.note || null,
        options: line.options.map((option) => ({
          option: { provider_id: option.id, option_group_id: option.group, quantity: option.quantity },
        })),
      },
    })),
  };
}

function tender() {
  const number = one("tender").value;
  if (!number) return { tender: "LevelUp" };
  return {
    credit_card: { number, cvv: "123", zip: "02114", expiration_month: "06", expiration_year: YEAR, name: one("name").value },
  };
}

// What is edited by hand goes out as it is; JSON or not.
function body(kind) {
  if (!one("by-hand").open) {
    return { [`order_${kind}`]: { ...order(), metadata, ...(kind === "submission" ? tender() : {}) } };
  }
  let members;
  try {
    members = JSON.parse(one("body").value);
  } catch {
    return one("body").value;
  }
  if (members === null || typeof members !== "object") return { [`order_${kind}`]: members };
  return { [`order_${kind}`]: { metadata, ...(kind === "submission" ? tender() : {}), ...members } };
}

function shown() {
  one("address").hidden = !delivers();
  one("other-time").hidden = one("ready").value !== OTHER;
  if (one("by-hand").open) return;
  try {
    one("body").value = JSON.stringify(order(), null, 2);
  } catch {
    // A field is being filled in.
  }
}

// What happens.

let number = 0;

function toResults() {
  const beside = window.matchMedia("(min-width: 95rem)").matches;
  one("results-title").scrollIntoView({ block: beside ? "nearest" : "start" });
}

async function send(title, kind, text, headers = {}) {
  one("problem").hidden = true;
  number += 1;
  const shownTitle = `${number}. ${title}`;
  toResults();
  const answer = await waiting(one("progress"), `${title} goes to the provider`, call("POST", `${path}/order_${kind}s`, text, headers));
  return { title: shownTitle, kind, answer, calls: await callsOf(answer.id) };
}

function show({ title, kind, answer, calls }, next = []) {
  one("no-results").hidden = true;
  // What could be done after an earlier one is over.
  for (const older of one("results").querySelectorAll(".next")) older.remove();
  for (const older of one("results").querySelectorAll("details[open]")) older.open = false;
  one("results").prepend(result(title, kind, answer, calls, facts.envelope, next));
  toResults();
}

async function validate() {
  const done = await send("Validation", "validation", body("validation"));
  const quote = facts.envelope ? done.answer.body?.order_validation : done.answer.body;
  if (done.answer.ok) {
    metadata = quote.metadata;
    offer(quote.available_at);
  }
  const submit_ = make("button", { type: "button", className: "primary", textContent: "Submit this order", onclick: act(submit, complain) });
  show(done, done.answer.ok ? [submit_] : []);
}

// The times that can be chosen: those that the provider offered last.
function offer(slots) {
  const chosen = one("ready").value;
  const options = [["", "As soon as possible"], ...(slots ?? []).map((slot) => [slot, slot.replace("T", ", ")])];
  if (facts.account.schedules) options.push([OTHER, "Another time"]);
  one("ready").replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
  one("ready").value = options.some(([value]) => value === chosen) ? chosen : "";
  one("ready-hint").hidden = Boolean(slots?.length);
  one("ready-hint").textContent = slots === undefined
    ? "Validate the order to see the times offered." : "The provider offers no list of times for this order.";
}

async function submit() {
  const text = JSON.stringify(body("submission"));
  const headers = { "Idempotency-Key": one("identity").value };
  const done = await send("Submission", "submission", text, headers);
  showSubmission(done, text, headers);
}

function showSubmission(done, text, headers) {
  const { body: reply, ok, failure } = done.answer;
  const unknown = reply?.error?.code === "outcome_unknown";
  const again = act(async () => {
    showSubmission(await send("The same again", "submission", text, headers), text, headers);
  }, complain);
  const button = make("button", {
    type: "button", className: "primary again", onclick: again,
    textContent: unknown ? "Send the same again: it is reconciled" : "Send the same again",
  });
  const fresh = make("button", {
    type: "button", textContent: "A new order", onclick: () => {
      cart = [];
      changed();
      one("order-title").scrollIntoView();
    },
  });
  show(done, ok ? [button, fresh] : unknown || failure || reply?.error?.retryable ? [button] : []);
}

// The sandbox places the order and drops the connection; then the same submission reconciles it.
async function lose() {
  const reply = body("submission");
  const members = reply.order_submission;
  if (!members) throw new Error("The request is not JSON.");
  members.special_instructions = [members.special_instructions, "sandbox:lost-answer"].filter(Boolean).join(" ");
  const text = JSON.stringify(reply);
  const headers = { "Idempotency-Key": one("identity").value };
  showSubmission(await send("Submission whose answer is lost", "submission", text, headers), text, headers);
}

// The page.

async function start() {
  const [{ answer, found }, reply] = await waiting(one("menu"), "Asking the provider for its menu", Promise.all([
    places(facts.account.id), call("GET", `${path}/menu`),
  ]));
  const place = found.find((each) => each.provider_id === facts.location);
  if (place) {
    one("place-name").textContent = place.name;
    document.title = `${place.name} · levelup_ov workbench`;
    one("place-more").textContent = ` · ${place.time_zone ?? "time zone not known"}`;
    const ways = { pickup: place.fulfills_pickups, delivery: place.fulfills_deliveries };
    for (const radio of document.querySelectorAll("[name=fulfillment]")) {
      const { value } = radio;
      if (!ways[value]) radio.parentElement.append(make("span", { className: "tag warn", textContent: "not here" }));
    }
    if (!place.fulfills_pickups && place.fulfills_deliveries) document.querySelector("[value=delivery]").checked = true;
  } else if (!answer.ok) complain(new Error(words(answer)));
  if (!reply.ok) {
    one("menu").replaceChildren(make("p", { className: "problem", role: "alert" }, bdi(words(reply))),
      make("p", {}, make("a", { href: "", textContent: "Ask again" })));
    return;
  }
  menu = new Menu(reply.body.menu);
  one("menu").replaceChildren(...menu.view((item) => menu.open(one("dish"), item, add)));
  try {
    cart = JSON.parse(sessionStorage.getItem(`cart ${facts.location}`)) ?? [];
  } catch {
    cart = [];
  }
  changed();
}

const tenders = [
  ...(facts.account.tenders.includes("levelup") ? [["", "LevelUp"]] : []),
  ...facts.cards.map(({ number: card, meaning }) => [card, `Card ${card}: ${meaning}`]),
  ...(facts.account.tenders.includes("levelup") ? [] : [["", "LevelUp (not taken here)"]]),
];
one("tender").replaceChildren(...tenders.map(([value, textContent]) => make("option", { value, textContent })));
offer(undefined);
one("order").addEventListener("submit", act(validate, complain));
one("order").addEventListener("input", shown);
one("by-hand").addEventListener("toggle", shown);
one("submit").addEventListener("click", act(submit, complain));
one("lose")?.addEventListener("click", act(lose, complain));
if (key) start();
