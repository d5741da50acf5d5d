// An app that orders ahead, as a phone's does: it knows LevelUp's API and nothing behind it.

import { act as acting, make, money } from "/screens/dom.js";

const POLL = 700; // milliseconds between two looks at an order
const TIPS = [0, 10, 15, 20]; // percent of the food

const screen = document.getElementById("screen");
const problem = document.getElementById("problem");
const dish = document.getElementById("dish");
const basket = document.querySelector(".basket");
const back = document.getElementById("back");
const leave = document.getElementById("leave");

let token = sessionStorage.getItem("token");
let place = null;
let menu = null;
let cart = [];
let choice = { tip: 15, at: "" };
let turn = 0; // of the screen that is shown; what comes late for another one is dropped

// Small tools.

// Times are those of the restaurant's clock.
function when(instant) {
  const parts = { weekday: "short", hour: "numeric", minute: "2-digit", timeZone: place?.time_zone ?? undefined };
  return new Date(instant).toLocaleString("en-US", parts);
}

function onItsClock(instant) {
  const shown = new Date(instant).toLocaleString("sv-SE", { timeZone: place?.time_zone ?? undefined });
  return shown.replace(" ", "T").slice(0, 16);
}

function instantOf(local) {
  const wanted = Date.parse(`${local}Z`);
  let instant = wanted;
  for (let look = 0; look < 2; look += 1) instant += wanted - Date.parse(`${onItsClock(instant)}Z`);
  return new Date(instant).toISOString();
}

// `final`: asking again changes nothing.
class Refusal extends Error {
  constructor(message, final = false) {
    super(message);
    this.final = final;
  }
}

const NO_CONNECTION = "There is no connection. Please try again.";

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `token ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  let found;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    found = text ? JSON.parse(text) : null;
  } catch {
    throw new Refusal(NO_CONNECTION);
  }
  if (answer.ok) return { status: answer.status, body: found };
  if (answer.status === 401 && token) signOut();
  const words = Array.isArray(found) ? found.map((entry) => entry.error.message).join(" ") : NO_CONNECTION;
  throw new Refusal(words, [404, 422].includes(answer.status));
}

function show(title, ...children) {
  turn += 1;
  problem.hidden = true;
  screen.replaceChildren(make("h1", { textContent: title }), ...children.filter(Boolean));
  leave.hidden = !token;
  const count = cart.reduce((sum, line) => sum + line.quantity, 0);
  basket.hidden = true;
  document.getElementById("to-cart").textContent = `View cart (${count}), ${money(subtotal())}`;
  screen.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return turn;
}

function goesBack(action) {
  back.hidden = !action;
  back.onclick = action;
}

function complain(error) {
  if (!(error instanceof Refusal)) console.error(error);
  problem.textContent = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
}

const act = (work) => acting(work, complain);

// Signing in.

function signOut() {
  token = null;
  cart = [];
  sessionStorage.removeItem("token");
  forget();
  signIn();
}

function signIn() {
  goesBack(null);
  show("");
  screen.replaceChildren(document.getElementById("sign-in").content.cloneNode(true));
  screen.querySelector("form").onsubmit = act(async (event) => {
    const form = new FormData(event.target);
    const login = { api_key: document.body.dataset.apiKey, username: form.get("email"), password: form.get("password") };
    const answer = await call("POST", "/v14/access_tokens", { access_token: login });
    token = answer.body.access_token.token;
    sessionStorage.setItem("token", token);
    await places();
  });
}

// Places.

async function places() {
  cart = [];
  const found = [];
  for (let page = 1; page < 20; page += 1) {
    const answer = await call("GET", `/v15/apps/1/locations?fulfillment_types=pickup&page=${page}`);
    if (answer.status === 204) break;
    found.push(...answer.body.map((entry) => entry.location));
  }
  const suggested = (await call("GET", "/v15/order_ahead/orders/suggested")).body.map((entry) => entry.order);
  const rows = found.map((location) =>
    row(location.name, `${location.merchant_name}\n${location.address}`, "", () => openMenu(location)),
  );
  const again = suggested.slice(0, 4).map((order) => {
    const location = found.find((each) => each.id === order.location_id);
    const words = `${order.banner === "past" ? "You had this before" : "Popular"}, ${order.merchant_name}`;
    return location && row(order.description, words, money(order.total_amount), () => orderAgain(location, order));
  });
  const ordered = remembered();
  goesBack(null);
  show(
    "Where do you want to order?",
    make("p", {}, make("button", { type: "button", className: "link", textContent: "Your orders", onclick: act(() => history([], 1)) })),
    ordered ? list([row("An order is on its way", ordered.place.name, "", resume)]) : null,
    found.length ? list(rows) : make("p", { textContent: "Nobody takes orders at the moment." }),
    again.some(Boolean) ? make("h2", { textContent: "Again?" }) : null,
    again.some(Boolean) ? list(again.filter(Boolean)) : null,
  );
}

// What was ordered before, a page at a time.

async function history(before, page) {
  const [shown, next] = await Promise.all([page, page + 1].map((each) => call("GET", `/v15/users/orders?page=${each}`)));
  const orders = [...before, ...(shown.body ?? []).map((entry) => entry.order)];
  const rows = orders.map((order) => {
    const items = order.items.map(({ item }) => `${item.quantity} × ${item.name}`).join(", ");
    const day = new Date(order.transacted_at).toLocaleString("en-US", { dateStyle: "medium", timeStyle: "short" });
    return make(
      "div",
      { className: "row" },
      make("strong", { textContent: order.location_name }),
      make("span", { className: "more", textContent: `${day}${order.refunded_at ? ", refunded" : ""}\n${items}` }),
      make("span", { className: "price", textContent: money(order.total_amount - order.merchant_funded_credit_amount) }),
    );
  });
  goesBack(act(places));
  show(
    "Your orders",
    rows.length ? list(rows) : make("p", { textContent: "You have not ordered yet." }),
    next.body
      ? make("button", { type: "button", className: "wide-button", textContent: "Show more", onclick: act(() => history(orders, page + 1)) })
      : null,
  );
}

function list(rows) {
  return make("ul", { className: "rows" }, ...rows.map((each) => make("li", {}, each)));
}

function row(title, more, price, action) {
  return make(
    "button",
    { type: "button", className: "row", onclick: act(action) },
    make("strong", { textContent: title }),
    make("span", { className: "more", textContent: more }),
    make("span", { className: "price", textContent: price }),
  );
}

async function orderAgain(location, order) {
  await openMenu(location);
  const items = itemsById();
  cart = order.items
    .filter((entry) => items.has(entry.item.id))
    .map(({ item }) => ({
      item: items.get(item.id),
      quantity: item.quantity,
      options: item.option_ids ?? [],
      note: item.special_instructions ?? "",
    }));
  showCart();
}

// The menu.

async function openMenu(location) {
  if (place?.id !== location.id) cart = [];
  place = (await call("GET", `/v15/locations/${location.id}`)).body.location;
  menu = (await call("GET", new URL(place.pickup_menu_url).pathname)).body.menu;
  showMenu();
}

function itemsById() {
  return new Map(menu.categories.flatMap(({ category }) => category.items).map(({ item }) => [item.id, item]));
}

function showMenu() {
  goesBack(act(places));
  const sections = menu.categories.map(({ category }) =>
    make(
      "section",
      {},
      make("h2", { textContent: category.name }),
      category.description ? make("p", { className: "lead", textContent: category.description }) : null,
      list(
        category.items.map(({ item }) =>
          row(item.name, item.description ?? "", money(item.price_with_defaults_amount), () => openDish(item)),
        ),
      ),
    ),
  );
  show(place.name, make("p", { className: "lead", textContent: place.address }), ...sections);
  basket.hidden = cart.length === 0;
}

// One item: its groups, nested ones as soon as what they belong to is chosen.

function openDish(item) {
  const groups = item.option_groups.map((entry) => entry.option_group);
  const chosen = new Set(groups.flatMap((group) => group.default_option_ids));
  let quantity = 1;
  const fields = make("div");
  const note = make("textarea", { id: "note", rows: 2, maxLength: menu.special_instructions_character_limit ?? 250 });
  const count = make("output", { textContent: "1" });
  const add = make("button", { className: "primary wide-button", type: "submit" });
  const error = make("p", { className: "problem", hidden: true });
  error.setAttribute("role", "alert");

  function shown(group) {
    return group.parent_option_id === null || group.parent_option_id === undefined || chosen.has(group.parent_option_id);
  }

  function picked() {
    return groups.filter(shown).flatMap((group) => group.options.map((each) => each.option.id).filter((id) => chosen.has(id)));
  }

  function draw() {
    const focused = document.activeElement?.id;
    fields.replaceChildren(...groups.filter(shown).map((group) => fieldset(group)));
    count.textContent = String(quantity);
    add.textContent = `Add ${quantity} to cart, ${money(priceOf(item, picked()) * quantity)}`;
    if (focused) document.getElementById(focused)?.focus();
  }

  function howMany(group) {
    if (group.maximum_choices === 1) return group.minimum_choices ? "choose one" : "choose one, or none";
    const most = group.maximum_choices ?? group.options.length;
    return `${group.minimum_choices ? `at least ${group.minimum_choices}, ` : ""}up to ${most}`;
  }

  function fieldset(group) {
    const single = group.maximum_choices === 1;
    const free = group.free_choices ? `, ${group.free_choices} free` : "";
    return make(
      "fieldset",
      {},
      make("legend", {}, `${group.name} `, make("small", { textContent: howMany(group) + free })),
      ...group.options.map(({ option }) => {
        const box = make("input", {
          type: single && group.minimum_choices ? "radio" : "checkbox",
          id: `option-${option.id}`,
          name: `group-${group.id}`,
          checked: chosen.has(option.id),
          onchange: () => {
            const was = chosen.has(option.id);
            if (single) group.options.forEach((each) => chosen.delete(each.option.id));
            if (was && !(single && group.minimum_choices)) chosen.delete(option.id);
            else chosen.add(option.id);
            draw();
          },
        });
        const price = option.price_amount ? `+${money(option.price_amount)}` : "";
        return make(
          "label",
          { className: "choice", htmlFor: box.id },
          box,
          make("span", { textContent: option.name }),
          make("span", { className: "price", textContent: price }),
        );
      }),
    );
  }

  function missing() {
    return groups.filter(shown).find((group) => {
      const count = group.options.filter(({ option }) => chosen.has(option.id)).length;
      return count < group.minimum_choices || count > (group.maximum_choices ?? Infinity);
    });
  }

  const form = make(
    "form",
    {
      method: "dialog",
      onsubmit: (event) => {
        const wrong = missing();
        if (wrong) {
          event.preventDefault();
          error.textContent = `${wrong.name}: ${howMany(wrong)}.`;
          error.hidden = false;
          return;
        }
        cart.push({ item, quantity, options: picked(), note: note.value.trim() });
        showMenu();
      },
    },
    make("h2", { id: "dish-name", textContent: item.name }),
    item.description ? make("p", { className: "lead", textContent: item.description }) : null,
    fields,
    menu.allows_special_instructions === false
      ? null
      : make("div", { className: "field" }, make("label", { htmlFor: "note", textContent: "Special instructions" }), note),
    make(
      "div",
      { className: "field count" },
      make("button", {
        type: "button", textContent: "−", ariaLabel: "One less",
        onclick: () => { quantity = Math.max(1, quantity - 1); draw(); },
      }),
      count,
      make("button", {
        type: "button", textContent: "+", ariaLabel: "One more",
        onclick: () => { quantity = Math.min(20, quantity + 1); draw(); },
      }),
    ),
    error,
    make("div", { className: "actions" }, add, make("button", {
      type: "button", className: "wide-button", textContent: "Cancel", onclick: () => dish.close(),
    })),
  );
  dish.replaceChildren(form);
  draw();
  dish.showModal();
}

// Of each group the dearest are free, as many as it says.
function priceOf(item, options) {
  let price = item.price_amount;
  for (const { option_group: group } of item.option_groups) {
    const prices = new Map(group.options.map(({ option }) => [option.id, option.price_amount]));
    const paid = options.filter((id) => prices.has(id)).map((id) => prices.get(id)).sort((a, b) => b - a);
    price += paid.slice(group.free_choices).reduce((sum, each) => sum + each, 0);
  }
  return price;
}

function subtotal() {
  return cart.reduce((sum, line) => sum + priceOf(line.item, line.options) * line.quantity, 0);
}

// The cart.

function words(line) {
  const names = new Map(
    line.item.option_groups.flatMap(({ option_group: group }) => group.options.map(({ option }) => [option.id, option.name])),
  );
  return [...line.options.map((id) => names.get(id)), line.note ? `“${line.note}”` : null].filter(Boolean).join(", ");
}

function showCart() {
  goesBack(showMenu);
  const lines = cart.map((line, position) =>
    make(
      "tr",
      {},
      make(
        "td",
        {},
        make("strong", { textContent: `${line.quantity} × ${line.item.name}` }),
        make("br"),
        ...(words(line) ? [make("small", { textContent: words(line) }), make("br")] : []),
        make("button", {
          type: "button", className: "link", textContent: "Remove", ariaLabel: `Remove ${line.item.name}`,
          onclick: () => { cart.splice(position, 1); if (cart.length) showCart(); else showMenu(); },
        }),
      ),
      make("td", { className: "number", textContent: money(priceOf(line.item, line.options) * line.quantity) }),
    ),
  );
  const tips = make(
    "div",
    { className: "tips" },
    ...TIPS.map((percent) =>
      make(
        "label",
        {},
        make("input", {
          type: "radio", name: "tip", value: percent, checked: choice.tip === percent,
          onchange: () => { choice.tip = percent; },
        }),
        make("span", { textContent: percent ? `${percent} %` : "None" }),
      ),
    ),
  );
  const at = make("input", {
    type: "datetime-local", id: "at", value: choice.at, onchange: () => { choice.at = at.value; },
  });
  show(
    "Your cart",
    make(
      "form",
      { className: "card", onsubmit: act(validate) },
      make("table", { className: "sums" }, make("tbody", {}, ...lines)),
      place.accepts_tips_on_pickup
        ? make("fieldset", {}, make("legend", { textContent: "Tip" }), tips)
        : null,
      place.supports_scheduling
        ? make(
          "div",
          { className: "field" },
          make("label", { htmlFor: "at", textContent: "Pick up at" }),
          at,
          make("small", { textContent: "By the restaurant's clock. Leave it empty for as soon as possible." }),
        )
        : null,
      make("button", { className: "primary wide-button", textContent: "Check price and time" }),
    ),
    make("button", { type: "button", textContent: "Add more", onclick: showMenu }),
  );
}

function asOrder() {
  const tip = place.accepts_tips_on_pickup ? Math.round((subtotal() * choice.tip) / 100) : null;
  return {
    order: {
      location_id: place.id,
      conveyance: {
        fulfillment_type: "pickup",
        desired_ready_time: choice.at && place.supports_scheduling ? instantOf(choice.at) : null,
        delivery_address_id: null,
      },
      items: cart.map((line) => ({
        item: {
          id: line.item.id, quantity: line.quantity, option_ids: line.options, special_instructions: line.note || null,
        },
      })),
      special_instructions: null,
      tip_amount: tip,
    },
  };
}

// Start, poll, complete, poll.

async function poll(url, mine) {
  while (mine === turn) {
    const answer = await call("GET", new URL(url).pathname);
    if (answer.status === 200) return answer.body.order;
    await new Promise((done) => { setTimeout(done, POLL); });
  }
  return null;
}

function waiting(title, text, leave) {
  goesBack(leave);
  return show(title, make("p", { className: "card waiting", textContent: text }));
}

async function validate() {
  const started = (await call("POST", "/v15/order_ahead/orders", asOrder())).body.order;
  const mine = waiting("One moment", `${place.name} looks at your order.`, showCart);
  let order;
  try {
    order = await poll(started.order_url, mine);
  } catch (error) {
    if (mine !== turn) return;
    // A refusal may have shown that nothing can be ordered for later here.
    if (choice.at) place = (await call("GET", `/v15/locations/${place.id}`)).body.location;
    if (mine !== turn) return;
    showCart();
    throw error;
  }
  if (order) showOrder(order);
}

function sums(order, rows) {
  const lines = [
    ["Food", order.subtotal],
    ["Tax", order.tax_amount],
    ...(order.service_fee_amount ? [["Service fee", order.service_fee_amount]] : []),
    ...(order.tip_amount ? [["Tip", order.tip_amount]] : []),
    ...(order.discount_amount ? [["Credit of the restaurant", -order.discount_amount]] : []),
    ...rows,
  ];
  return make(
    "table",
    { className: "sums" },
    make(
      "tbody",
      {},
      ...lines.map(([title, cents, total]) =>
        make(
          "tr",
          { className: total ? "total" : "" },
          make("td", { textContent: title }),
          make("td", { className: "number", textContent: cents < 0 ? `−${money(-cents)}` : money(cents) }),
        ),
      ),
    ),
  );
}

function showOrder(order) {
  goesBack(showCart);
  const pays = order.total_amount - order.discount_amount;
  const ready = order.soonest_available_at ? when(order.soonest_available_at) : "as soon as possible";
  const slots = (order.available_at ?? []).filter((slot) => slot !== order.soonest_available_at);
  show(
    "Your order",
    make(
      "section",
      { className: "card" },
      make("p", {}, "Ready: ", make("strong", { id: "ready", textContent: ready }), ` at ${order.location_title}`),
      slots.length ? slotPicker(slots) : null,
      make(
        "ul",
        { className: "plain" },
        ...order.items.map(({ item }) =>
          make(
            "li",
            { textContent: `${item.quantity} × ${item.name}` },
            item.selected_options_description
              ? make("small", { textContent: ` (${item.selected_options_description})` })
              : null,
          ),
        ),
      ),
      sums(order, [["You pay", pays, true]]),
      make("button", {
        type: "button", className: "primary wide-button", textContent: `Pay ${money(pays)} with LevelUp`,
        onclick: act(() => complete(order)),
      }),
    ),
  );
}

function slotPicker(slots) {
  const select = make(
    "select",
    {
      id: "slot",
      onchange: act(async () => {
        choice.at = onItsClock(select.value);
        await validate();
      }),
    },
    make("option", { textContent: "Choose another time", value: "" }),
    ...slots.map((slot) => make("option", { value: slot, textContent: when(slot) })),
  );
  return make("div", { className: "field" }, make("label", { htmlFor: "slot", textContent: "Another time?" }), select);
}

// An order that is paid for is remembered until its number was seen, or until it is certain that there is none.
function remembered() {
  return JSON.parse(sessionStorage.getItem("ordering"));
}

function forget() {
  sessionStorage.removeItem("ordering");
}

async function complete(order) {
  // Before it is sent: the page may go while it is on its way. What has become of it is shown at the same address.
  sessionStorage.setItem("ordering", JSON.stringify({ url: order.order_completion_url, place }));
  let begun;
  try {
    begun = (await call("POST", new URL(order.order_completion_url).pathname)).body.order;
  } catch (error) {
    if (error.final) forget();
    throw error;
  }
  await follow(begun.order_url, () => showOrder(order));
}

async function follow(url, giveUp) {
  const mine = waiting("Ordering", `${place.name} gets your order.`, act(places));
  let done;
  try {
    done = await poll(url, mine);
  } catch (error) {
    if (mine !== turn) return;
    if (error.final) {
      forget();
      await giveUp();
    } else {
      show(
        "Ordering",
        make("p", { className: "card", textContent: `It is not known yet whether ${place.name} has your order.` }),
        make("button", { type: "button", className: "primary wide-button", textContent: "Look again", onclick: act(resume) }),
      );
    }
    throw error;
  }
  if (done) showDone(done);
}

// The page may be loaded again while an order is on its way, or while its number is shown.
async function resume() {
  const ordered = remembered();
  if (!ordered) return places();
  place = ordered.place;
  return follow(ordered.url, places);
}

function showDone(order) {
  goesBack(null);
  cart = [];
  choice = { tip: 15, at: "" };
  const payment = order.payment;
  const who = [
    ["gift card", payment?.gift_card_amount],
    ["LevelUp credit", payment?.global_credit_amount],
    ["card", payment?.card_amount],
  ].filter(([, cents]) => cents);
  show(
    "It is being made",
    make(
      "section",
      { className: "card" },
      make("p", { textContent: "Your order number" }),
      make("p", {
        className: order.order_number.length > 8 ? "number-shown long" : "number-shown", id: "order-number",
        textContent: order.order_number,
      }),
      make("p", {}, "Ready: ", make("strong", { textContent: order.ready_at ? when(order.ready_at) : "soon" })),
      make("p", { textContent: order.instructions }),
      sums(order, [["You pay", order.total_amount - order.discount_amount, true], ...who.map(([name, cents]) => [`by ${name}`, cents])]),
    ),
    make("button", { type: "button", className: "primary wide-button", textContent: "Order something else", onclick: act(startAnew) }),
  );
}

function startAnew() {
  forget();
  return places();
}

document.getElementById("to-cart").onclick = showCart;
leave.onclick = signOut;
if (token) act(resume)();
else signIn();
