// SPDX-License-Identifier: GPL-3.0-or-later
//
// The tender LevelUp, and how a shop makes a payment method that takes the single-use card.
'use strict';

const { timingSafeEqual } = require('node:crypto');
const { LanguageCode, PaymentMethod, PaymentMethodHandler } = require('@vendure/core');

const LEVELUP = 'levelup';
const KEY_REFUSED = 'the key of the tender LevelUp is wrong';

/**
 * A handler that charges what the consumer was shown, or nothing.
 *
 * `authorise(metadata, args)` gives what `createPayment` of a handler gives: the state, and what is to be stored with
 * the payment. What it returns is stored: never the card.
 */
function paymentHandler(code, description, args, authorise) {
    return new PaymentMethodHandler({
        code,
        description: [{ languageCode: LanguageCode.en, value: description }],
        args,
        createPayment: async (ctx, order, amount, args, metadata) =>
            metadata.amount === amount
                ? { amount, transactionId: order.customFields.levelupReference, ...(await authorise(metadata, args)) }
                : { amount, state: 'Declined', errorMessage: `the order costs ${amount}, not ${metadata.amount}` },
        settlePayment: () => ({ success: true }),
    });
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

module.exports = { isKey, KEY_REFUSED, levelupTender, paymentHandler };
