// SPDX-License-Identifier: GPL-3.0-or-later
//
// What the merchant pays for through LevelUp, and what of an order's discounts is that.
'use strict';

const { ConfigService, LanguageCode, PromotionOrderAction } = require('@vendure/core');

const CODE = 'levelup_merchant_funded_discount';
const LAST = 1_000_000;

let weightOf;

/**
 * Takes the order's `merchantFundedDiscount` off the food, before tax, after all other discounts.
 *
 * An order-level discount is spread over all lines before they are taxed. Vendure's own action reaches into
 * surcharges (2026-11); this one stops at the food. Where prices include tax, the amounts of discounts do too, and
 * what is left of each line without tax is rounded: there the amount is sought that lowers the food, without tax, by
 * just what the merchant pays.
 */
const merchantFundedDiscount = new PromotionOrderAction({
    code: CODE,
    description: [{ languageCode: LanguageCode.en, value: 'Takes off what the merchant pays for through LevelUp' }],
    args: {},
    priorityValue: LAST,
    init(injector) {
        const { orderLineDiscountDistributionStrategy: strategy } = injector.get(ConfigService).orderOptions;
        weightOf = (ctx, line, order) => strategy.getWeight(ctx, line, order);
    },
    async execute(ctx, order) {
        const wanted = order.customFields.merchantFundedDiscount ?? 0;
        const food = sum(order.lines, line => line.proratedLinePrice);
        if (wanted <= 0 || !ctx.channel.pricesIncludeTax) return -Math.min(wanted, food);
        const gross = sum(order.lines, line => line.proratedLinePriceWithTax);
        if (wanted >= food) return -gross;
        const weights = await Promise.all(order.lines.map(line => weightOf(ctx, line, order)));
        return -amountFor(order.lines, weights, wanted, gross);
    },
});

/** The smallest amount, tax included, that lowers the lines by `wanted` or, where rounding allows none, next above. */
function amountFor(lines, weights, wanted, most) {
    const takenBy = amount => {
        const shares = prorate(weights, -amount);
        return sum(lines, (line, i) => line.proratedLinePrice - withAdjustment(line, shares[i]).proratedLinePrice);
    };
    let [low, high] = [wanted, most];
    while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (takenBy(middle) < wanted) low = middle + 1;
        else high = middle;
    }
    // Shares move between lines from one amount to the next, so that the right one may lie a little beside.
    const near = [low, low - 1, low + 1, low - 2, low + 2, low - 3, low + 3].filter(each => each >= 0 && each <= most);
    return near.find(each => takenBy(each) === wanted) ?? near.find(each => takenBy(each) > wanted) ?? most;
}

function withAdjustment(line, amount) {
    const copy = withAdjustments(line, line.adjustments);
    copy.addAdjustment({ amount, adjustmentSource: 'PROMOTION:trial', type: 'DISTRIBUTED_ORDER_PROMOTION', data: {} });
    return copy;
}

const PRICED_BY = ['listPrice', 'listPriceIncludesTax', 'orderPlacedQuantity', 'quantity', 'taxLines'];

/** The line with other adjustments, to ask for its prices. 2026-11: a loaded line's getters are bound to itself. */
function withAdjustments(line, adjustments) {
    const members = PRICED_BY.map(name => [name, line[name]]);
    return Object.assign(Object.create(Object.getPrototypeOf(line)), Object.fromEntries(members), { adjustments });
}

/** As Vendure spreads an order-level discount (2026-11: order-calculator/prorate.js, which is not exported). */
function prorate(weights, amount) {
    const total = weights.reduce((sum, each) => sum + each, 0);
    const exact = weights.map(each => (total === 0 ? amount / weights.length : amount * (each / total)));
    const rounded = exact.map(Math.floor);
    const errors = exact.map((each, i) => each - rounded[i]);
    for (let added = sum(rounded, each => each); added < amount; added += 1) {
        const next = errors.indexOf(Math.max(...errors));
        rounded[next] += 1;
        errors[next] -= 1;
    }
    return rounded;
}

/**
 * `{merchant, provider}`: what was taken off the food, without tax, by the merchant's and by the shop's own discounts.
 *
 * All amounts are minor units. `sources` are the promotions that hold the action. Rounded cents count as the shop's.
 */
function discountsOf(order, sources) {
    const before = sum(order.lines, line => line.linePrice);
    const after = sum(order.lines, line => line.proratedLinePrice);
    const others = sum(order.lines, line => {
        const own = line.adjustments.filter(each => !sources.includes(each.adjustmentSource));
        return withAdjustments(line, own).proratedLinePrice;
    });
    const [wanted, taken] = [order.customFields.merchantFundedDiscount ?? 0, others - after];
    const merchant = taken > wanted && taken - wanted <= order.lines.length ? wanted : taken;
    return { merchant, provider: before - after - merchant };
}

/** The sources, as adjustments name them, of the promotions with the merchant's discount. */
const sourcesAmong = promotions =>
    promotions.filter(each => each.actions.some(action => action.code === CODE)).map(each => each.getSourceId());

const sum = (values, of) => values.reduce((total, value, i) => total + of(value, i), 0);

module.exports = { amountFor, CODE, discountsOf, merchantFundedDiscount, prorate, sourcesAmong };
