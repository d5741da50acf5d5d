// SPDX-License-Identifier: GPL-3.0-or-later
//
// What modifiers cost and which may be chosen.
'use strict';

const { FacetValue, Product, ProductVariantPrice, TransactionalConnection } = require('@vendure/core');

let connection;

/** Adds the modifiers' prices to what the shop's own strategy says. */
class ModifierPrices {
    constructor(inner) {
        this.inner = inner;
    }

    async init(injector) {
        connection = injector.get(TransactionalConnection);
        await this.inner.init?.(injector);
    }

    async destroy() {
        await this.inner.destroy?.();
    }

    async calculateUnitPrice(ctx, variant, fields, order, quantity) {
        const plain = await this.inner.calculateUnitPrice(ctx, variant, fields, order, quantity);
        const modifiers = fields.modifiers ?? (await modifiersOf(ctx, fields.modifiersIds));
        const extra = modifiers.reduce((sum, modifier) => sum + modifier.customFields.price, 0);
        return { ...plain, price: plain.price + extra };
    }
}

/** Refuses what is not sold in the channel, and modifiers that the item has not, or too few or too many. */
class EnforceChoices {
    async willAddItemToOrder(ctx, order, { productVariant, customFields }) {
        // 2026-11: addItemToOrder itself takes a variant that is not in the channel.
        const product = await connection.findOneInChannel(ctx, Product, productVariant.productId, ctx.channelId, {
            relations: ['customFields.modifierGroups', 'customFields.modifierGroups.values'],
        });
        if (!product) return `item ${productVariant.id} is not sold here`;
        if (!(await isPriced(ctx, productVariant))) {
            return `item ${productVariant.id} is not sold here: it has no price in ${ctx.currencyCode}`;
        }
        const chosen = new Set((customFields?.modifiersIds ?? []).map(String));
        for (const group of product.customFields.modifierGroups) {
            const count = group.values.filter(value => chosen.delete(String(value.id))).length;
            const { minimum, maximum } = group.customFields;
            if (count < minimum) return `${group.code}: choose at least ${minimum}`;
            if (maximum !== null && count > maximum) return `${group.code}: choose at most ${maximum}`;
        }
        if (chosen.size) return `this item has no option ${[...chosen].join(', ')}`;
    }
}

/** 2026-11: a variant without a price in the channel's currency counts as free. */
async function isPriced(ctx, variant) {
    if (variant.listPrice) return true;
    const where = { variant: { id: variant.id }, channelId: ctx.channelId, currencyCode: ctx.currencyCode };
    return connection.getRepository(ctx, ProductVariantPrice).existsBy(where);
}

async function modifiersOf(ctx, ids) {
    return ids?.length ? connection.findByIdsInChannel(ctx, FacetValue, ids, ctx.channelId, {}) : [];
}

module.exports = { EnforceChoices, ModifierPrices };
