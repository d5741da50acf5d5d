// SPDX-License-Identifier: GPL-3.0-or-later
//
// What a cart's lines hold, compared with what was ordered.
'use strict';

/** Ids of modifiers as they are kept with a line. */
const keptChoices = ids => JSON.stringify(ids.map(String).sort());

/** The position of the first item that the lines do not hold whole, just as it was ordered; null if they hold all. */
function firstMissing(lines, items, encode) {
    const held = new Map();
    for (const { quantity, productVariant, customFields } of lines) {
        const options = customFields.modifiers.map(each => [encode(facetOf(each)), encode(each.id)]);
        const key = keyOf(encode(productVariant.id), options, customFields.instructions, customFields.recipient);
        held.set(key, (held.get(key) ?? 0) + quantity);
    }
    for (const [position, { variant, quantity, options, instructions, recipient }] of items.entries()) {
        const key = keyOf(variant, options.map(each => [each.group, each.value]), instructions, recipient);
        held.set(key, (held.get(key) ?? 0) - quantity);
        if (held.get(key) < 0) return position;
    }
    return null;
}

const facetOf = value => value.facetId ?? value.facet?.id;

const keyOf = (variant, options, instructions, recipient) =>
    JSON.stringify([variant, options.map(String).sort(), instructions ?? null, recipient ?? null]);

module.exports = { firstMissing, keptChoices };
