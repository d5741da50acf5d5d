// SPDX-License-Identifier: GPL-3.0-or-later
//
// What a Vendure shop needs so that LevelUp can order from it. Facts about Vendure 3.7.3 are dated.
'use strict';

const { timingSafeEqual } = require('node:crypto');
const { Inject } = require('@nestjs/common');
const { Args, Mutation, Query, Resolver } = require('@nestjs/graphql');
const {
    ActiveOrderService, Allow, Ctx, Facet, FacetValue, I18nError, LanguageCode, Order, OrderService,
    PaymentMethodHandler, Permission, PluginCommonModule, Product, PromotionOrderAction, SessionService, Transaction,
    TransactionalConnection, VendurePlugin,
} = require('@vendure/core');
const gql = require('graphql-tag');

const TIP = 'tip';
const DECLINED = '4000000000000002';
const FAILING = '4000000000000119';

const PLACE = ['locationName', 'street', 'city', 'region', 'postalCode', 'phone', 'timeZone'];

const text = value => [{ languageCode: LanguageCode.en, value }];

// A modifier group is a facet, a modifier one of its values: both belong to channels and need no entities of ours.
const customFields = {
    Channel: [
        ...PLACE.map(name => ({ name, type: 'string' })),
        { name: 'acceptsTips', type: 'boolean', defaultValue: false },
    ],
    Facet: [
        { name: 'minimum', type: 'int', defaultValue: 0 },
        { name: 'maximum', type: 'int' },
    ],
    FacetValue: [{ name: 'price', type: 'int', defaultValue: 0 }],
    Product: [{ name: 'modifierGroups', type: 'relation', entity: Facet, list: true }],
    OrderLine: [
        // Eager: else a line that is added to again is priced without them (2026-11).
        { name: 'modifiers', type: 'relation', entity: FacetValue, list: true, eager: true },
        { name: 'instructions', type: 'text' },
        { name: 'recipient', type: 'text' },
    ],
    Order: [
        { name: 'pickupAt', type: 'datetime' },
        { name: 'instructions', type: 'text' },
        { name: 'merchantFundedDiscount', type: 'int', defaultValue: 0 },
        { name: 'levelupReference', type: 'string' },
    ],
};

let connection;

class ModifierPrices {
    init(injector) {
        connection = injector.get(TransactionalConnection);
    }

    async calculateUnitPrice(ctx, variant, fields) {
        const modifiers = fields.modifiers ?? (await modifiersOf(ctx, fields.modifiersIds));
        const extra = modifiers.reduce((sum, modifier) => sum + modifier.customFields.price, 0);
        return { price: variant.listPrice + extra, priceIncludesTax: variant.listPriceIncludesTax };
    }
}

class EnforceChoices {
    async willAddItemToOrder(ctx, order, { productVariant, customFields }) {
        // 2026-11: addItemToOrder itself takes a variant that is not in the channel.
        const product = await connection.findOneInChannel(ctx, Product, productVariant.productId, ctx.channelId, {
            relations: ['customFields.modifierGroups', 'customFields.modifierGroups.values'],
        });
        if (!product) return `item ${productVariant.id} is not sold here`;
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

async function modifiersOf(ctx, ids) {
    return ids?.length ? connection.findByIdsInChannel(ctx, FacetValue, ids, ctx.channelId, {}) : [];
}

// An order-level discount is spread over all lines before they are taxed. Its own action reaches into surcharges, and
// so into the tip (2026-11); this one stops at the food.
const merchantFundedDiscount = new PromotionOrderAction({
    code: 'levelup_merchant_funded_discount',
    description: text('Takes off what the merchant pays for through LevelUp'),
    args: {},
    execute(ctx, order) {
        const food = order.lines.reduce((sum, line) => sum + line.proratedLinePrice, 0);
        return -Math.min(order.customFields.merchantFundedDiscount, food);
    },
});

// What a handler returns is stored with the payment: never the card. The caller says what it expects to be charged.
function handler(code, description, args, authorise) {
    return new PaymentMethodHandler({
        code,
        description: text(description),
        args,
        createPayment: (ctx, order, amount, args, metadata) =>
            metadata.amount === amount
                ? { amount, transactionId: order.customFields.levelupReference, ...authorise(metadata, args) }
                : { amount, state: 'Declined', errorMessage: `the order costs ${amount}, not ${metadata.amount}` },
        settlePayment: () => ({ success: true }),
    });
}

// The shop API is open to everybody: without a key, anybody could call an order paid.
const keyArgs = { key: { type: 'string', ui: { component: 'password-form-input' } } };
const externalTender = handler('levelup', 'Paid with LevelUp', keyArgs, ({ key }, args) =>
    sameText(String(key ?? ''), args.key)
        ? { state: 'Settled' }
        : { state: 'Declined', errorMessage: 'the key of the tender LevelUp is wrong' },
);

function sameText(one, other) {
    const [a, b] = [Buffer.from(one), Buffer.from(other)];
    return a.length === b.length && a.length > 0 && timingSafeEqual(a, b);
}

const card = handler('card', 'Credit card', {}, ({ number, cvv, month, year, zip, name }) => {
    if (!passesLuhn(number)) return { state: 'Declined', errorMessage: 'this is no card number' };
    if (number === DECLINED) return { state: 'Declined', errorMessage: 'the bank declines the card' };
    if (number === FAILING) return { state: 'Error', errorMessage: 'the card processor does not answer' };
    const complete = /^\d{3,4}$/.test(cvv) && /^(0[1-9]|1[0-2])$/.test(month) && /^\d{4}$/.test(year) && zip;
    if (!complete) return { state: 'Declined', errorMessage: 'the card is not complete' };
    return { state: 'Settled', metadata: { expires: `${month}/${year}`, zip, holder: name } };
});

function passesLuhn(number) {
    const digits = [...String(number)].reverse().map(Number);
    const sum = digits.reduce((sum, digit, i) => sum + (i % 2 ? (digit * 2 > 9 ? digit * 2 - 9 : digit * 2) : digit), 0);
    return digits.length >= 12 && sum % 10 === 0;
}

const schema = gql`
    type PlacedOrder {
        id: ID!
        code: String!
        reference: String!
        pickupAt: DateTime
    }
    extend type Query {
        "The order that was placed under a LevelUp reference; null proves that there is none."
        orderPlacedAs(reference: String!): PlacedOrder
    }
    extend type Mutation {
        "Leave the customer's cart for a new one: a customer who is logged in has only one."
        startCart: Boolean!
        "Set the tip of the active order, and price it anew; none is set where none are taken. An error if code is given and is not that order's."
        setTip(amount: Int!, code: String): Order!
    }
`;

class CartGone extends I18nError {
    constructor() {
        super('the cart is gone', {}, 'CART_GONE');
    }
}

class LevelUpResolver {
    constructor(orders, activeOrders, sessions) {
        Object.assign(this, { orders, activeOrders, sessions });
    }

    async orderPlacedAs(ctx, { reference }) {
        const order = await connection
            .getRepository(ctx, Order)
            .createQueryBuilder('order')
            .innerJoin('order.channels', 'channel', 'channel.id = :channel', { channel: ctx.channelId })
            .where('order.customFields.levelupReference = :reference', { reference })
            .andWhere('order.orderPlacedAt IS NOT NULL')
            .getOne();
        return order && { id: order.id, code: order.code, reference: order.customFields.levelupReference, pickupAt: order.customFields.pickupAt };
    }

    async startCart(ctx) {
        const order = await this.activeOrders.getActiveOrder(ctx, undefined);
        if (!order) return false;
        await this.orders.deleteOrder(ctx, order);
        await this.sessions.unsetActiveOrder(ctx, ctx.session);
        return true;
    }

    async setTip(ctx, { amount, code }) {
        const active = await this.activeOrders.getActiveOrder(ctx, undefined);
        if (!active || (code && active.code !== code)) throw new CartGone();
        const taken = ctx.channel.customFields.acceptsTips ? amount : 0;
        const order = await this.orders.findOne(ctx, active.id, ['surcharges']);
        for (const tip of order.surcharges.filter(surcharge => surcharge.sku === TIP)) {
            await this.orders.removeSurchargeFromOrder(ctx, order.id, tip.id);
        }
        // Prices the order anew too: setting the discount's field does not (2026-11).
        return taken
            ? this.orders.addSurchargeToOrder(ctx, order.id, { sku: TIP, description: 'Tip', listPrice: taken })
            : this.orders.applyPriceAdjustments(ctx, await this.orders.findOne(ctx, order.id), []);
    }
}

// What TypeScript's decorators would say.
[OrderService, ActiveOrderService, SessionService].forEach((token, i) => Inject(token)(LevelUpResolver, undefined, i));
for (const [name, ...decorators] of [
    ['orderPlacedAs', Query(), Allow(Permission.Public)],
    ['startCart', Mutation(), Allow(Permission.Owner), Transaction()],
    ['setTip', Mutation(), Allow(Permission.Owner), Transaction()],
]) {
    const descriptor = Object.getOwnPropertyDescriptor(LevelUpResolver.prototype, name);
    decorators.forEach(decorator => decorator(LevelUpResolver.prototype, name, descriptor));
    Ctx()(LevelUpResolver.prototype, name, 0);
    Args()(LevelUpResolver.prototype, name, 1);
}
Resolver()(LevelUpResolver);

class LevelUpPlugin {}
VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.7.0',
    shopApiExtensions: { schema, resolvers: [LevelUpResolver] },
})(LevelUpPlugin);

module.exports = {
    LevelUpPlugin, customFields, merchantFundedDiscount,
    orderItemPriceCalculationStrategy: new ModifierPrices(),
    orderInterceptors: [new EnforceChoices()],
    paymentMethodHandlers: [externalTender, card],
};
