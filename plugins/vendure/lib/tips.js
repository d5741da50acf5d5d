// SPDX-License-Identifier: GPL-3.0-or-later
//
// A tip is a surcharge that the subtotal does not hold.
'use strict';

const TIP = 'tip';

const isTip = surcharge => surcharge.sku === TIP;

/**
 * Counts tips beside the subtotal, with shipping, as the shop's own strategy counts all else.
 *
 * 2026-11: Vendure's own strategies count surcharges into the subtotal. Percentages, thresholds and the limits of
 * discounts are reckoned from that, so all of them would see the tip.
 */
class TipsApart {
    constructor(inner) {
        this.inner = inner;
    }

    async init(injector) {
        await this.inner.init?.(injector);
    }

    async destroy() {
        await this.inner.destroy?.();
    }

    calculateOrderTotals(order) {
        const totals = this.inner.calculateOrderTotals(withoutTips(order));
        const tip = tipOf(order);
        return { ...totals, shipping: totals.shipping + tip, shippingWithTax: totals.shippingWithTax + tip };
    }

    calculateTaxSummary(order) {
        return this.inner.calculateTaxSummary(withoutTips(order));
    }
}

/** The tip of an order in minor units of its currency. Tips are not taxed. */
function tipOf(order) {
    return (order.surcharges ?? []).filter(isTip).reduce((sum, surcharge) => sum + surcharge.listPrice, 0);
}

function withoutTips(order) {
    if (!order.surcharges?.some(isTip)) return order;
    return Object.create(order, { surcharges: { value: order.surcharges.filter(each => !isTip(each)) } });
}

module.exports = { isTip, TIP, tipOf, TipsApart };
