// SPDX-License-Identifier: GPL-3.0-or-later
//
// Run with `npm test` in the plugin's folder. @vendure/core must be found, for instance by NODE_PATH.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { DefaultOrderTaxCalculationStrategy, OrderLine } = require('@vendure/core');
const { checkMoney } = require('../index');
const { amountFor, discountsOf, prorate } = require('../lib/discount');
const { obstacle } = require('../lib/delivery');
const { firstMissing } = require('../lib/lines');
const { isOwnAddress, samePhone } = require('../lib/people');
const { isCurrent } = require('../lib/references');
const { tipOf, TipsApart } = require('../lib/tips');

const line = (listPrice, quantity, taxRate, listPriceIncludesTax = true) =>
    new OrderLine({
        listPrice, quantity, listPriceIncludesTax, orderPlacedQuantity: 0, adjustments: [], taxLines: [{ taxRate }],
    });

test('a discount is spread to the cent', () => {
    for (const [weights, amount] of [[[1, 1, 1], -100], [[333, 999], -50], [[0, 0], -3], [[7], -7]]) {
        assert.equal(prorate(weights, amount).reduce((sum, each) => sum + each), amount);
    }
});

test('where prices include tax, the amount lowers the food by what the merchant pays', () => {
    let [exact, all] = [0, 0];
    for (let seed = 1; seed <= 400; seed += 1) {
        const lines = [line(100 + ((seed * 37) % 900), 1 + (seed % 4), 7), line(50 + ((seed * 91) % 700), 1 + (seed % 3), 19)];
        const weights = lines.map(each => each.proratedLinePriceWithTax);
        const gross = weights.reduce((sum, each) => sum + each);
        const wanted = 1 + ((seed * 13) % 90);
        const amount = amountFor(lines, weights, wanted, gross);
        const shares = prorate(weights, -amount);
        lines.forEach((each, i) => each.addAdjustment({ amount: shares[i], adjustmentSource: 'PROMOTION:1' }));
        const order = { lines, customFields: { merchantFundedDiscount: wanted } };
        const { merchant, provider } = discountsOf(order, ['PROMOTION:1']);
        assert.equal(merchant, wanted);
        assert.ok(provider === 0 || provider === 1, `${provider} of rounding`);
        [exact, all] = [exact + (provider === 0), all + 1];
    }
    assert.ok(exact / all > 0.95, `${exact} of ${all}`);
});

test('a shop whose money is not in hundredths does not start', () => {
    for (const sound of [undefined, {}, { precision: 2 }]) checkMoney(sound);
    for (const precision of [0, 3, 4]) assert.throws(() => checkMoney({ precision }), /has [034]$/);
});

test('the subtotal does not hold the tip, the total does', () => {
    const tip = { sku: 'tip', listPrice: 200, price: 200, priceWithTax: 200, taxLines: [] };
    const bag = { sku: 'bag', listPrice: 10, price: 10, priceWithTax: 10, taxLines: [] };
    const order = { lines: [line(1000, 1, 7, false)], surcharges: [tip, bag], shippingLines: [] };
    const totals = new TipsApart(new DefaultOrderTaxCalculationStrategy()).calculateOrderTotals(order);
    assert.deepEqual(totals, { subTotal: 1010, subTotalWithTax: 1080, shipping: 200, shippingWithTax: 200 });
    assert.equal(tipOf(order), 200);
});

test('who is the same person', () => {
    assert.ok(isOwnAddress('Ada@example.com', 'ada@example.com'));
    assert.ok(isOwnAddress('ada@example.com', 'ada+0123456789ab@example.com'));
    assert.ok(!isOwnAddress('bob@example.com', 'ada+0123456789ab@example.com'));
    assert.ok(!isOwnAddress('ada@example.com', 'ada+pizza@example.com'));
    assert.ok(samePhone('+1 (617) 555-0123', '617-555-0123'));
    assert.ok(!samePhone('617-555-0123', '617-555-0124'));
    assert.ok(!samePhone('', '') && !samePhone(null, undefined) && !samePhone('12', '12'));
});

test('a fence stops the carts that were opened before it', () => {
    const [open, fenced] = [0, 2].map(fences => ({ reference: 'r', fences }));
    assert.ok(isCurrent(open, null) && isCurrent(open, 'r 0'));
    assert.ok(isCurrent(fenced, 'r 2'));
    for (const before of [null, 'r 0', 'r 1', 'q 2']) assert.ok(!isCurrent(fenced, before), before);
});

test('a line that is not just as it was ordered is missing', () => {
    const held = { quantity: 2, productVariant: { id: 3 }, customFields: { modifiers: [{ id: 5, facetId: 1 }] } };
    const item = { variant: '3', quantity: 2, options: [{ group: '1', value: '5' }] };
    assert.equal(firstMissing([held], [item], String), null);
    for (const other of [{ variant: '3.0' }, { quantity: 3 }, { options: [{ group: '2', value: '5' }] }, { recipient: 'Bo' }]) {
        assert.equal(firstMissing([held], [{ ...item, ...other }], String), 0);
    }
});

test('an area is postal codes and their beginnings', () => {
    const area = { postalCodes: ['02114', '0211*', 'sw1a 1aa'], orderMinimum: 500 };
    assert.equal(obstacle(area, { postalCode: '02114' }, 500), null);
    assert.equal(obstacle(area, { postalCode: '02119' }, 500), null);
    assert.equal(obstacle(area, { postalCode: 'SW1A1AA' }, 500), null);
    assert.equal(obstacle(area, { postalCode: '99999' }, 500), 'AddressNotServed');
    assert.equal(obstacle(area, { postalCode: '02114' }, 499), 'MinimumNotReached');
    assert.equal(obstacle(area, {}, 500), null);
    assert.equal(obstacle({ postalCodes: [] }, { postalCode: '1' }, 0), null);
});
