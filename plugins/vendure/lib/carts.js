// SPDX-License-Identifier: GPL-3.0-or-later
//
// Carts, each for one order of one guest. They are drafts, which no session holds: two of one customer do not meet,
// none comes back in a storefront, and none that a visitor left is ever found.
'use strict';

const { randomBytes } = require('node:crypto');
const { Inject, Injectable } = require('@nestjs/common');
const {
    ConfigService, isGraphQlErrorResult, Order, OrderService, ProductVariant, PromotionService, TransactionalConnection,
} = require('@vendure/core');
const { Customers } = require('./customers');
const { Deliveries } = require('./delivery');
const { discountsOf, sourcesAmong } = require('./discount');
const { firstMissing, keptChoices } = require('./lines');
const { isCurrent, lock, lookUp, markFor, own } = require('./references');
const { Refusal } = require('./refusal');
const { isTip, TIP } = require('./tips');
const { locked } = require('./transactions');

const CANCELABLE = ['PaymentAuthorized', 'PaymentSettled'];
const GONE = 'what was ordered is not sold any more';

class Carts {
    constructor(connection, config, orders, promotions, customers, deliveries) {
        Object.assign(this, { connection, config, orders, promotions, customers, deliveries });
    }

    async open(ctx, input) {
        const { guest, customer, items } = input;
        const token = randomBytes(24).toString('base64url');
        const { id } = await this.orders.createDraft(ctx);
        await this.orders.updateCustomFields(ctx, id, {
            pickupAt: input.pickupAt ?? null,
            instructions: input.instructions ?? null,
            guestName: `${guest.firstName} ${guest.lastName}`.trim(),
            guestPhone: guest.phone ?? null,
            guestEmail: guest.email,
            merchantFundedDiscount: input.merchantFundedDiscount,
            levelupDelivery: Boolean(input.delivery),
            deliveryInstructions: input.delivery?.address?.instructions ?? null,
            levelupCart: token,
            levelupFence: input.reference ? await markFor(ctx, this.connection, input.reference) : null,
        });
        // A customer with an account may have their own prices. One that is made now is made last.
        if (!customer.register) await this.assign(ctx, id, await this.customerOf(ctx, id, guest, customer));
        await this.fill(ctx, id, items);
        if (input.delivery) await this.deliveries.arrange(ctx, id, guest, input.delivery);
        if (customer.register) await this.assign(ctx, id, await this.customers.register(ctx, guest, customer));
        const order = await this.tip(ctx, id, input.tip);
        const sources = sourcesAmong(await this.promotions.getActivePromotionsInChannel(ctx));
        const { merchant, provider } = discountsOf(order, sources);
        return { token, order, merchantDiscount: merchant, providerDiscount: provider };
    }

    /** `payment` is one object for one call, however often its transaction runs. */
    async place(ctx, input, payment) {
        const { token, code, reference, amount } = input;
        // The reference first, then the order, as all calls do: so none waits for one that waits for it.
        const row = await lock(ctx, this.connection, reference);
        const id = await this.find(ctx, token, code);
        if (row.owner !== null) throw new Refusal('ReferenceTaken', 'an order is placed under this reference already');
        const { customFields } = await this.orders.findOne(ctx, id);
        if (!isCurrent(row, customFields.levelupFence)) throw new Refusal('CartGone', 'the cart is gone');
        const { pickupAt = null, instructions = null } = input;
        await this.orders.updateCustomFields(ctx, id, { pickupAt, instructions, levelupReference: reference });
        await this.check(ctx, await this.orders.findOne(ctx, id));
        await this.tip(ctx, id, input.tip);
        const arranged = await this.arrange(ctx, id);
        await this.deliveries.check(ctx, arranged);
        const { totalWithTax } = arranged;
        if (totalWithTax !== amount) {
            throw new Refusal('PriceChanged', `the order costs ${totalWithTax}, not ${amount}`);
        }
        const paid = await this.orders.addPaymentToOrder(ctx, id, { method: input.method, metadata: payment });
        if (!isGraphQlErrorResult(paid)) {
            if (!paid.orderPlacedAt) throw new Error('the payment did not place the order');
            await own(ctx, this.connection, row, String(id));
            return { reference: paid.customFields.levelupReference, order: paid };
        }
        // Not undone: the attempt to pay is kept with the order, which is a draft again and waits for another one.
        await this.orders.updateCustomFields(ctx, id, { levelupReference: null });
        await this.set(ctx, id, { active: false, state: 'Draft' });
        return { refusal: Refusal.of(ctx, paid).asResult() };
    }

    async cancel(ctx, reference) {
        const row = await lock(ctx, this.connection, reference);
        if (row.owner !== null) await this.hold(ctx, row.owner);
        const { order } = await lookUp(ctx, this.connection, reference);
        if (!order) throw new Refusal('CancellationRefused', 'no order is placed under this reference');
        if (order.state === 'Cancelled') return {};
        if (!CANCELABLE.includes(order.state)) {
            throw new Refusal('CancellationRefused', `the order is ${order.state}`);
        }
        const canceled = await this.orders.cancelOrder(ctx, { orderId: order.id });
        if (isGraphQlErrorResult(canceled)) throw Refusal.of(ctx, canceled);
        return {};
    }

    /** Wait for staff who is changing an order now. */
    async hold(ctx, id) {
        const orders = this.connection.getRepository(ctx, Order).createQueryBuilder('held');
        await locked(this.connection, orders.where('held.id = :id', { id })).getOne();
    }

    async customerOf(ctx, id, guest, customer) {
        if (customer.password) return this.customers.member(ctx, guest, customer);
        return this.customers.guest(ctx, await this.orders.findOne(ctx, id), guest, customer.email);
    }

    assign(ctx, id, customer) {
        return this.orders.addCustomerToOrder(ctx, id, customer);
    }

    async fill(ctx, id, items) {
        const { entityIdStrategy } = this.config.entityOptions;
        const ids = entityIdStrategy ?? this.config.entityIdStrategy;
        const lines = items.map(item => ({
            productVariantId: ids.decodeId(item.variant),
            quantity: item.quantity,
            customFields: {
                modifiersIds: item.options.map(option => ids.decodeId(option.value)),
                instructions: item.instructions ?? null,
                recipient: item.recipient ?? null,
                levelupChoices: keptChoices(item.options.map(option => option.value)),
            },
        }));
        const { order, errorResults } = await this.orders.addItemsToOrder(ctx, id, lines);
        const missing = firstMissing(order.lines, items, each => ids.encodeId(each));
        if (errorResults.length) throw Refusal.of(ctx, errorResults[0], missing);
        // The shop gets no option groups, and reads "1.0" as 1: so neither is taken on trust.
        if (missing === null) return;
        const known = order.lines.some(line => ids.encodeId(line.productVariant.id) === items[missing].variant);
        const words = 'the shop has no such item, or not with these options';
        throw new Refusal(known ? 'OptionUnknown' : 'ItemUnknown', words, missing);
    }

    /** The order with its tip; there is none where the channel takes none. Prices the order again. */
    async tip(ctx, id, amount) {
        const taken = ctx.channel.customFields.acceptsTips ? amount : 0;
        const order = await this.orders.findOne(ctx, id, ['surcharges']);
        for (const tip of order.surcharges.filter(isTip)) {
            await this.orders.removeSurchargeFromOrder(ctx, id, tip.id);
        }
        return taken
            ? this.orders.addSurchargeToOrder(ctx, id, { sku: TIP, description: 'Tip', listPrice: taken })
            : this.orders.applyPriceAdjustments(ctx, await this.orders.findOne(ctx, id), []);
    }

    /** The id of an open cart of this channel; its row is locked. */
    async find(ctx, token, code) {
        const repository = this.connection.getRepository(ctx, Order);
        // Without a join: TypeORM cannot lock one table of two in MySQL, nor one called order in PostgreSQL (2026-12).
        const query = repository
            .createQueryBuilder('cart')
            .where('cart.code = :code', { code })
            .andWhere('cart.customFields.levelupCart = :token', { token });
        const cart = await locked(this.connection, query).getOne();
        const isOpen = cart && !cart.orderPlacedAt && cart.state !== 'Cancelled';
        if (!isOpen || !(await repository.existsBy({ id: cart.id, channels: { id: ctx.channelId } }))) {
            throw new Refusal('CartGone', 'the cart is gone');
        }
        return cart.id;
    }

    /** That staff took nothing off the menu since it was put into the cart: Vendure asks that of no draft (2026-11). */
    async check(ctx, order) {
        const ids = [...new Set(order.lines.map(line => line.productVariant.id))];
        const found = await this.connection
            .getRepository(ctx, ProductVariant)
            .createQueryBuilder('variant')
            .innerJoin('variant.product', 'product')
            .innerJoin('variant.channels', 'channel', 'channel.id = :channel', { channel: ctx.channelId })
            .where('variant.id IN (:...ids)', { ids })
            .andWhere('variant.enabled = :yes AND product.enabled = :yes', { yes: true })
            .andWhere('variant.deletedAt IS NULL AND product.deletedAt IS NULL')
            .getCount();
        if (found !== ids.length) throw new Refusal('ItemGone', GONE);
        const { entityIdStrategy } = this.config.entityOptions;
        const encode = each => (entityIdStrategy ?? this.config.entityIdStrategy).encodeId(each.id);
        const same = line => keptChoices(line.customFields.modifiers.map(encode)) === line.customFields.levelupChoices;
        if (!order.lines.every(same)) throw new Refusal('OptionGone', GONE);
    }

    /** The order, ready to be paid; stock is asked for here. */
    async arrange(ctx, id) {
        const moved = await this.orders.transitionToState(ctx, id, 'ArrangingPayment');
        if (isGraphQlErrorResult(moved)) throw Refusal.of(ctx, moved);
        return this.orders.findOne(ctx, id);
    }

    set(ctx, id, members) {
        return this.connection.getRepository(ctx, Order).update(id, members);
    }
}

[TransactionalConnection, ConfigService, OrderService, PromotionService, Customers, Deliveries].forEach((token, i) =>
    Inject(token)(Carts, undefined, i),
);
Injectable()(Carts);

module.exports = { Carts };
