// SPDX-License-Identifier: GPL-3.0-or-later
//
// The calls, each one transaction.
'use strict';

const { Inject } = require('@nestjs/common');
const { Args, Mutation, Query, Resolver } = require('@nestjs/graphql');
const { Allow, Ctx, I18nError, Permission, TransactionalConnection } = require('@vendure/core');
const { version } = require('../package.json');
const { Carts } = require('./carts');
const { isKey, KEY_REFUSED } = require('./payments');
const { fence, lookUp } = require('./references');
const { Refusal } = require('./refusal');
const { schema } = require('./schema');

const ONE_AT_A_TIME = ['better-sqlite3', 'sqlite', 'sqljs'];

class KeyRefused extends I18nError {
    constructor() {
        super(KEY_REFUSED, {}, 'KEY_REFUSED');
    }
}

class LevelUpResolver {
    constructor(connection, carts) {
        Object.assign(this, { connection, carts, last: Promise.resolve() });
    }

    levelUp() {
        return { version };
    }

    levelUpFind(ctx, { reference }) {
        return lookUp(ctx, this.connection, reference);
    }

    levelUpFence(ctx, { reference, key }) {
        return this.transaction(ctx, async tx => {
            if (!(await isKey(tx, this.connection, key))) throw new KeyRefused();
            await fence(tx, this.connection, reference);
            return lookUp(tx, this.connection, reference);
        });
    }

    levelUpOpen(ctx, { input }) {
        return this.answer(ctx, input, tx => this.carts.open(tx, input));
    }

    levelUpPlace(ctx, { input }) {
        return this.answer(ctx, input, tx => this.carts.place(tx, input));
    }

    levelUpCancel(ctx, { reference, key }) {
        return this.answer(ctx, { key }, tx => this.carts.cancel(tx, reference));
    }

    /** What `work` gives; a refusal that it throws undoes all that it did. */
    async answer(ctx, { key }, work) {
        try {
            return await this.transaction(ctx, async tx => {
                if (!(await isKey(tx, this.connection, key))) throw new Refusal('KeyRefused', KEY_REFUSED);
                return work(tx);
            });
        } catch (error) {
            if (error instanceof Refusal) return { refusal: error.asResult() };
            throw error;
        }
    }

    /** 2026-11: databases in the process have one connection, whose transactions do not wait for one another. */
    transaction(ctx, work) {
        const run = () => this.connection.withTransaction(ctx, work);
        if (!ONE_AT_A_TIME.includes(this.connection.rawConnection.options.type)) return run();
        const result = this.last.then(run);
        this.last = result.catch(() => undefined);
        return result;
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
