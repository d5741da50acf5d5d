// The menu as a diner sees it, and the dialog in which a dish and its options are chosen.
//
// Too few or too many choices are shown, but not prevented: the provider decides, and its refusal is worth seeing.

import { bdi, make, money } from "/screens/dom.js";
import { rule } from "./rules.js";

function hint(group) {
  const { minimum_choices: least, maximum_choices: most, free_choices: free } = group;
  const parts = [];
  if (most === null) parts.push(least ? `choose at least ${least}` : "choose any number");
  else if (least === most) parts.push(`choose ${least}`);
  else parts.push(least ? `choose ${least} to ${most}` : `choose up to ${most}`);
  if (group.minimum_unique_options) parts.push(`at least ${group.minimum_unique_options} different`);
  if (group.maximum_unique_options !== null) parts.push(`at most ${group.maximum_unique_options} different`);
  if (free) parts.push(`${free} free`);
  return parts.join(", ");
}

export class Menu {
  constructor(wire) {
    this.wire = wire;
    this.groups = new Map(wire.option_groups.map(({ option_group: group }) => [group.provider_id, group]));
  }

  // `choose` gets the item whose button was pressed.
  view(choose) {
    const categories = this.wire.categories.map((each) => each.category);
    const groups = this.wire.category_groups.map((each) => each.category_group);
    const known = new Set(groups.map((group) => group.provider_id));
    const loose = categories.filter((category) => !known.has(category.category_group));
    const parts = groups.flatMap((group) => {
      const inside = categories.filter((category) => category.category_group === group.provider_id);
      return inside.length ? [make("h3", {}, bdi(group.name)), ...inside.map((each) => this.#category(each, choose))] : [];
    });
    const shown = [...parts, ...loose.map((each) => this.#category(each, choose))];
    return shown.length ? shown : [make("p", { className: "empty", textContent: "This menu is empty. Add items at the provider." })];
  }

  #category(category, choose) {
    const items = category.items.map(({ item }) => make("li", {}, make("button", {
      type: "button", className: "row", onclick: () => choose(item),
    },
    make("strong", {}, bdi(item.name)),
    item.description && make("span", { className: "more" }, bdi(item.description)),
    item.option_groups.length > 0 && make("span", {
      className: "more", textContent: `${item.option_groups.length} group${item.option_groups.length > 1 ? "s" : ""} of options`,
    }),
    make("span", { className: "price", textContent: money(item.price) }))));
    return make("details", { open: true },
      make("summary", {}, bdi(category.name)),
      category.description && make("p", { className: "soft" }, bdi(category.description)),
      items.length
        ? make("ul", { className: "rows" }, items)
        : make("p", { className: "soft", textContent: "Nothing in this category." }));
  }

  // Shows the dialog for a dish; `add` gets the line of the cart. `line`: one that is changed.
  open(dialog, item, add, line) {
    const chosen = new Map(line?.options.map((option) => [option.id, option.quantity]));
    if (!line) this.#choose(item.option_groups, chosen);
    const quantity = make("input", { id: "dish-quantity", type: "number", min: 1, value: line?.quantity ?? 1 });
    const note = make("textarea", { id: "dish-note", rows: 2, value: line?.note ?? "" });
    const form = make("form", { method: "dialog", noValidate: true },
      make("h2", { id: "dish-name" }, bdi(item.name)),
      item.description && make("p", { className: "soft" }, bdi(item.description)),
      make("div", {}, this.#fieldsets(item.option_groups, chosen)),
      make("div", { className: "pair" },
        make("div", { className: "field" }, make("label", { htmlFor: "dish-quantity", textContent: "Quantity" }), quantity)),
      this.wire.allows_special_instructions === false ? null : make("div", { className: "field" },
        make("label", { htmlFor: "dish-note", textContent: "Special instructions" }), note),
      make("div", { className: "actions" },
        make("button", { className: "primary", textContent: line ? "Change" : `Add for ${money(item.price)} and options` }),
        make("button", { type: "button", textContent: "Cancel", onclick: () => dialog.close() })));
    form.onsubmit = () => add({
      id: item.provider_id, name: item.name, quantity: Number(quantity.value) || 1, note: note.value.trim(),
      options: [...this.#picked(item.option_groups, chosen)],
    });
    dialog.replaceChildren(form);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  // The defaults of these groups, and those below them.
  #choose(ids, chosen) {
    for (const { group, options } of this.#known(ids)) {
      for (const option of options) {
        const quantity = option.default_quantity || (group.defaults.includes(option.provider_id) ? 1 : 0);
        if (!quantity) continue;
        chosen.set(option.provider_id, quantity);
        this.#choose(option.option_groups, chosen);
      }
    }
  }

  * #known(ids) {
    for (const id of ids) {
      const group = this.groups.get(id);
      if (group) yield { group, options: group.options.map((each) => each.option) };
    }
  }

  // What is chosen, parents before children; what is below an option that is not chosen does not count.
  * #picked(ids, chosen) {
    for (const { group, options } of this.#known(ids)) {
      for (const option of options) {
        const quantity = chosen.get(option.provider_id);
        if (!quantity) continue;
        yield { id: option.provider_id, group: group.provider_id, name: option.name, price: option.price, quantity };
        yield* this.#picked(option.option_groups, chosen);
      }
    }
  }

  #fieldsets(ids, chosen) {
    return [...this.#known(ids)].map(({ group, options }) => this.#fieldset(group, options, chosen));
  }

  #fieldset(group, options, chosen) {
    const count = make("small", { className: "error", role: "status" });
    const single = group.maximum_choices === 1;
    const rows = options.map((option) => {
      const { provider_id: id } = option;
      const many = !single && option.maximum_quantity !== 1;
      const input = many
        ? make("input", { type: "number", min: 0, max: option.maximum_quantity ?? "", value: chosen.get(id) ?? 0 })
        : make("input", { type: single && group.minimum_choices ? "radio" : "checkbox", checked: chosen.has(id) });
      if (input.type === "radio") input.name = group.provider_id;
      const nested = make("div");
      const below = () => nested.replaceChildren(...(chosen.get(id) ? this.#fieldsets(option.option_groups, chosen) : []));
      input.onchange = () => {
        const quantity = many ? Number(input.value) : Number(input.checked);
        if (single && quantity) rows.filter((row) => row.id !== id).forEach((row) => row.clear());
        if (quantity > 0) {
          if (!chosen.has(id)) this.#choose(option.option_groups, chosen);
          chosen.set(id, quantity);
        } else chosen.delete(id);
        below();
        judge();
      };
      const clear = () => {
        chosen.delete(id);
        input.checked = false;
        below();
      };
      below();
      const price = option.price ? `+${money(option.price)}` : "";
      const shown = make("div", {},
        make("label", { className: "choice" }, input, make("span", {}, bdi(option.name)),
          make("span", { className: "price", textContent: price })),
        nested);
      return { id, clear, shown };
    });

    function judge() {
      const quantities = options.map((option) => chosen.get(option.provider_id) ?? 0);
      const sum = quantities.reduce((total, each) => total + each, 0);
      const different = quantities.filter(Boolean).length;
      const few = sum < group.minimum_choices || different < (group.minimum_unique_options ?? 0);
      const many = sum > (group.maximum_choices ?? Infinity) || different > (group.maximum_unique_options ?? Infinity);
      count.textContent = few || many ? `${sum} chosen: the provider will refuse too ${few ? "few" : "many"}.` : "";
    }

    judge();
    return make("fieldset", {},
      make("legend", {}, bdi(group.name), " ", make("small", {}, `${hint(group)} `, rule("ITEM-7"))),
      make("div", {}, rows.map((row) => row.shown)), count);
  }
}
