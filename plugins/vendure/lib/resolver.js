// SPDX-License-Identifier: GPL-3.0-or-later
//
// The calls, each one transaction.
'use strict';

const { Inject } = require('@nestjs/common');
const { Args, Mutation, Query, Resolver } = require('@nestjs/graphql');
const { Allow, Ctx, I18nError, Permission, TransactionalConnection } = require('@vendure/core');
const { version } = require('../package.json');
const { Carts } = require('./carts');
const { isKey, KEY_REFUSED, onceFor } = require('./payments');
const { fence, lookUp } = require('./references');
const { Refusal } = require('./refusal');
const { schema } = require('./schema');
const { Transactions } = require('./transactions');

class KeyRefused extends I18nError {
    constructor() {
        super(KEY_REFUSED, {}, 'KEY_REFUSED');
    }
}

class LevelUpResolver {
    constructor(connection, carts) {
        Object.assign(this, { connection, carts, transactions: new Transactions(connection) });
    }

    levelUp() {
        return { version };
    }

    /** In a transaction, as a read outside of one may be of a copy of the database that is behind. */
    levelUpFind(ctx, { reference }) {
        return this.transactions.run(ctx, tx => lookUp(tx, this.connection, reference));
    }

    async levelUpFence(ctx, { reference, key }) {
        if (!(await isKey(ctx, this.connection, key))) throw new KeyRefused();
        return this.transactions.run(ctx, async tx => {
            await fence(tx, this.connection, reference);
            return lookUp(tx, this.connection, reference);
        });
    }

    levelUpOpen(ctx, { input }) {
        return this.answer(ctx, input, tx => this.carts.open(tx, input));
    }

    levelUpPlace(ctx, { input }) {
        const payment = onceFor({ ...input.payment, amount: input.amount });
        return this.answer(ctx, input, tx => this.carts.place(tx, input, payment));
    }

    levelUpCancel(ctx, { reference, key }) {
        return this.answer(ctx, { key }, tx => this.carts.cancel(tx, reference));
    }

    /** What `work` gives; a refusal that it throws undoes all that it did. */
    async answer(ctx, { key }, work) {
        try {
            if (!(await isKey(ctx, this.connection, key))) throw new Refusal('KeyRefused', KEY_REFUSED);
            return await this.transactions.run(ctx, work);
        } catch (error) {
            if (error instanceof Refusal) return { refusal: error.asResult() };
            throw error;
        }
    }
}

// What TypeScript's decorators would say.
[TransactionalConnection, Carts].forEach((token, i) => Inject(token)(LevelUpResolver, undefined, i));
for (const [name, decorator] of [
    ['levelUp', Query()],
    ['levelUpFind', Query()],
    ['levelUpFence', Mutation()],
    ['levelUpCancel', Mutation()],
    ['levelUpOpen', Mutation()],
    ['levelUpPlace', Mutation()],
]) {
    const descriptor = Object.getOwnPropertyDescriptor(LevelUpResolver.prototype, name);
    [decorator, Allow(Permission.Public)].forEach(each => each(LevelUpResolver.prototype, name, descriptor));
    Ctx()(LevelUpResolver.prototype, name, 0);
    Args()(LevelUpResolver.prototype, name, 1);
}
Resolver()(LevelUpResolver);

module.exports = { LevelUpResolver, schema };
