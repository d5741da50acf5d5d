// SPDX-License-Identifier: GPL-3.0-or-later
//
// The tender LevelUp, and how a shop makes a payment method that takes the single-use card.
'use strict';

const { timingSafeEqual } = require('node:crypto');
const {
    LanguageCode, PaymentMethod, PaymentMethodHandler, StockLevel, TransactionalConnection,
} = require('@vendure/core');
const { locked } = require('./transactions');

const LEVELUP = 'levelup';
const KEY_REFUSED = 'the key of the tender LevelUp is wrong';

/**
 * A handler that charges what the consumer was shown, or nothing.
 *
 * `authorise(metadata, args)` gives what `createPayment` of a handler gives: the state, and what is to be stored with
 * the payment. What it returns is stored: never the card.
 */
function paymentHandler(code, description, args, authorise) {
    let connection;
    return new PaymentMethodHandler({
        code,
        description: [{ languageCode: LanguageCode.en, value: description }],
        args,
        init(injector) {
            connection = injector.get(TransactionalConnection);
        },
        createPayment: async (ctx, order, amount, args, metadata) => {
            if (metadata.amount !== amount) {
                return { amount, state: 'Declined', errorMessage: `the order costs ${amount}, not ${metadata.amount}` };
            }
            const authorised = await once(metadata, () => authorise(metadata, args));
            await holdStock(ctx, connection, order);
            return { amount, transactionId: order.customFields.levelupReference, ...authorised };
        },
        settlePayment: () => ({ success: true }),
    });
}

// What was answered for a payment. A transaction that the database drops runs again, but nobody is charged again.
const answers = new WeakMap();

/** The payment, which is authorised once, however often it is tried. */
function onceFor(payment) {
    answers.set(payment, null);
    return payment;
}

function once(payment, authorise) {
    if (!answers.has(payment)) return authorise();
    if (answers.get(payment) === null) answers.set(payment, authorise());
    return answers.get(payment);
}

/**
 * Lock the stock of an order, in the order of its ids.
 *
 * 2026-12: Vendure takes it in the order of the lines: two orders of the same items could wait for each other.
 */
async function holdStock(ctx, connection, { lines }) {
    const ids = [...new Set(lines.map(line => line.productVariantId))].sort((a, b) => (a < b ? -1 : 1));
    for (const id of ids) {
        const levels = connection.getRepository(ctx, StockLevel).createQueryBuilder('level');
        await locked(connection, levels.where('level.productVariantId = :id', { id }).orderBy('level.id')).getMany();
    }
}

// The shop API is open to everybody: without a key, anybody could call an order paid.
const keyArgs = { key: { type: 'string', ui: { component: 'password-form-input' } } };
const levelupTender = paymentHandler(LEVELUP, 'Paid with LevelUp', keyArgs, ({ key }, args) =>
    sameText(String(key ?? ''), args.key) ? { state: 'Settled' } : { state: 'Declined', errorMessage: KEY_REFUSED },
);

/** Whether `key` is that of the channel's payment method for LevelUp, enabled or not. */
async function isKey(ctx, connection, key) {
    const methods = await connection.getRepository(ctx, PaymentMethod).find({ relations: { channels: true } });
    return methods
        .filter(method => method.handler?.code === LEVELUP)
        .filter(method => method.channels.some(channel => String(channel.id) === String(ctx.channelId)))
        .flatMap(method => method.handler.args)
        .some(arg => arg.name === 'key' && sameText(String(key ?? ''), arg.value));
}

function sameText(one, other) {
    const [a, b] = [Buffer.from(one), Buffer.from(other)];
    return a.length === b.length && a.length > 0 && timingSafeEqual(a, b);
}

module.exports = { isKey, KEY_REFUSED, levelupTender, onceFor, paymentHandler };
