// The locations of each account: read one account at a time, so that a slow provider holds up no other.

import { bdi, make, waiting } from "/screens/dom.js";
import { key, places, words } from "./api.js";
import { rule } from "./rules.js";

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

function hours(spans) {
  if (spans === null || spans === undefined) return "not known";
  if (spans === "closed" || spans.length === 0) return "closed";
  return spans
    .map(({ opens_at: from, closes_at: to }) => (from === "00:00" && to === "24:00" ? "all day" : `${from} to ${to}`))
    .join(", ");
}

function week(place) {
  const days = DAYS.map((day) => hours(place.hours?.[day]));
  if (new Set(days).size === 1) return make("p", { className: "soft", textContent: `Every day: ${days[0]}` });
  const rows = DAYS.map((day, at) =>
    make("tr", {}, make("th", { scope: "row", textContent: day }), make("td", { textContent: days[at] })));
  return make("details", {}, make("summary", { textContent: "Hours" }),
    make("table", { className: "hours" }, make("tbody", {}, rows)));
}

function ability(id, text) {
  return make("li", { className: "tag" }, `${text} `, rule(id));
}

function card(place) {
  const address = [place.street_address, place.locality, place.region].filter(Boolean).join(", ");
  const closed = place.terminated ? "terminated" : place.active ? null : "not active";
  return make("li", {},
    make("h3", {}, bdi(place.name)),
    make("p", { className: "soft" }, bdi(address || "No address"), make("br"), place.time_zone ?? "time zone not known"),
    make("ul", { className: "tags" },
      closed && make("li", { className: "tag warn", textContent: closed }),
      place.fulfills_pickups && ability("EP-12", "pickup"),
      place.fulfills_deliveries && ability("EP-12", "delivery"),
      (place.accepts_tips_on_pickup || place.accepts_tips_on_delivery) && ability("MONEY-4", "tips")),
    week(place),
    make("div", { className: "actions" },
      make("a", {
        className: "button primary", href: `/workbench/order?location=${encodeURIComponent(place.provider_id)}`,
      }, "Order", make("span", { className: "hidden-text", textContent: ` from ${place.name}` }))));
}

async function show(section) {
  const list = section.querySelector("[data-places]");
  const { account } = section.dataset;
  const { answer, found } = await waiting(section, "Asking the provider for its locations", places(account));
  list.replaceChildren(...found.map(card));
  if (!answer.ok) list.after(make("p", { className: "problem", role: "alert" }, bdi(words(answer))));
  else if (!found.length) {
    list.after(make("p", {
      className: "empty", textContent: "The provider lists no location for this account. Add one there, then load this page again.",
    }));
  }
}

if (key) for (const section of document.querySelectorAll(".account")) show(section);
