// SPDX-License-Identifier: GPL-3.0-or-later
//
// Deliveries: the shop's shipping methods whose codes are `delivery` or start with `delivery-`.
'use strict';

const { Inject, Injectable } = require('@nestjs/common');
const {
    CountryService, isGraphQlErrorResult, LanguageCode, OrderService, ShippingEligibilityChecker,
    ShippingMethodService,
} = require('@vendure/core');
const { Refusal } = require('./refusal');

const AREA = 'levelup-delivery-area';

const isDelivery = method => method.code === 'delivery' || method.code.startsWith('delivery-');

/** Postal codes without blanks and in capitals; one that ends with * is a beginning. */
function isIn(postalCodes, code) {
    const plain = text => text.replace(/[\s-]/g, '').toUpperCase();
    return postalCodes
        .map(plain)
        .some(each => (each.endsWith('*') ? plain(code).startsWith(each.slice(0, -1)) : plain(code) === each));
}

/** Why an order is not delivered: a kind of refusal, or null. Without an address, any postal code will do. */
function obstacle({ postalCodes = [], orderMinimum = 0 }, { postalCode }, food) {
    if (postalCode && postalCodes.length && !isIn(postalCodes, postalCode)) return 'AddressNotServed';
    return food < orderMinimum ? 'MinimumNotReached' : null;
}

const foodOf = order => order.lines.reduce((sum, line) => sum + line.linePrice, 0);

const deliveryArea = new ShippingEligibilityChecker({
    code: AREA,
    description: [{ languageCode: LanguageCode.en, value: 'The postal code is one of these, and the food costs enough' }],
    args: {
        postalCodes: { type: 'string', list: true, defaultValue: [] },
        orderMinimum: { type: 'int', defaultValue: 0, ui: { component: 'currency-form-input' } },
    },
    check: (ctx, order, args) => obstacle(args, order.shippingAddress ?? {}, foodOf(order)) === null,
});

class Deliveries {
    constructor(orders, methods, countries) {
        Object.assign(this, { orders, methods, countries });
    }

    /** Give a draft its address, if there is one yet, and the cheapest delivery that the shop makes for it. */
    async arrange(ctx, id, guest, { address }) {
        const offered = (await this.methods.getActiveShippingMethods(ctx)).filter(isDelivery);
        if (!offered.length) throw new Refusal('DeliveryNotOffered', 'this shop does not deliver');
        if (address) {
            await this.orders.setShippingAddress(ctx, id, {
                fullName: `${guest.firstName} ${guest.lastName}`.trim(),
                phoneNumber: guest.phone ?? '',
                streetLine1: address.street,
                streetLine2: address.extra ?? '',
                city: address.city ?? '',
                province: address.region ?? '',
                postalCode: address.postalCode ?? '',
                countryCode: await this.countryOf(ctx),
            });
        }
        const possible = (await this.orders.getEligibleShippingMethods(ctx, id)).filter(isDelivery);
        if (!possible.length) throw this.refusal(offered, await this.orders.findOne(ctx, id), address);
        const order = await this.orders.setShippingMethod(ctx, id, [possible[0].id]);
        if (isGraphQlErrorResult(order)) throw Refusal.of(ctx, order);
    }

    /** A delivery whose method is gone, or no longer fits, is not placed without one. */
    async check(ctx, { id, customFields }) {
        if (!customFields.levelupDelivery) return;
        const { shippingLines } = await this.orders.findOne(ctx, id, ['shippingLines', 'shippingLines.shippingMethod']);
        if (!shippingLines.some(({ shippingMethod }) => shippingMethod && isDelivery(shippingMethod))) {
            throw new Refusal('AddressNotServed', 'the shop does not deliver this order any more');
        }
    }

    /** The most hopeful reason: an order that is too small could be delivered if it were larger. */
    refusal(offered, order, address) {
        const food = foodOf(order);
        const tooSmall = offered
            .filter(({ checker }) => checker.code === AREA)
            .map(({ checker }) => argumentsOf(checker))
            .filter(args => obstacle(args, order.shippingAddress ?? {}, food) === 'MinimumNotReached')
            .map(args => args.orderMinimum);
        if (tooSmall.length) {
            const least = (Math.min(...tooSmall) / 100).toFixed(2);
            return new Refusal('MinimumNotReached', `deliveries need an order of at least ${least}`);
        }
        if (!address) return new Refusal('AddressNeeded', 'this shop needs the address to price a delivery');
        return new Refusal('AddressNotServed', 'this shop does not deliver to this address');
    }

    /** The channel's own, or the only country of the shop. */
    async countryOf(ctx) {
        if (ctx.channel.customFields.country) return ctx.channel.customFields.country;
        const available = await this.countries.findAllAvailable(ctx);
        if (available.length === 1) return available[0].code;
        throw new Refusal('DeliveryNotOffered', 'the shop does not say in which country it delivers');
    }
}

function argumentsOf(operation) {
    const given = Object.fromEntries(operation.args.map(({ name, value }) => [name, value]));
    return { postalCodes: JSON.parse(given.postalCodes || '[]'), orderMinimum: Number(given.orderMinimum || 0) };
}

[OrderService, ShippingMethodService, CountryService].forEach((token, i) => Inject(token)(Deliveries, undefined, i));
Injectable()(Deliveries);

module.exports = { Deliveries, deliveryArea, isIn, obstacle };
