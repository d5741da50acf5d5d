// SPDX-License-Identifier: GPL-3.0-or-later
//
// Transactions of the calls, and the row locks in them.
'use strict';

const ONE_AT_A_TIME = ['better-sqlite3', 'sqlite', 'sqljs'];
const SNAPSHOTS = ['mariadb', 'mysql'];
const ATTEMPTS = 5;
// 2026-12: Vendure turns a deadlock of MySQL into an EmptyError. MySQL drops all of the transaction, so that the
// savepoint is missing to which Vendure wants to return.
const DROPPED = ['40001', '40P01', 'ER_CHECKREAD', 'ER_LOCK_DEADLOCK', 'ER_SP_DOES_NOT_EXIST'];
// A row that another transaction has written meanwhile: the next attempt finds it.
const OVERTAKEN = ['23505', 'ER_DUP_ENTRY'];

const typeOf = connection => connection.rawConnection.options.type;

/** A query for rows of one table that locks them; SQLite has no row locks. */
function locked(connection, query) {
    return ONE_AT_A_TIME.includes(typeOf(connection)) ? query : query.setLock('pessimistic_write');
}

/** Whether a transaction failed because of another one at the same time, mostly of a deadlock. */
const isInTheWay = error => [...DROPPED, ...OVERTAKEN].includes(error.code) || error.name === 'EmptyError';

class Transactions {
    constructor(connection) {
        Object.assign(this, { connection, last: Promise.resolve() });
    }

    /** Run `work` in a transaction. If another one is in its way, `work` runs again, in a new one. */
    async run(ctx, work) {
        for (let attempt = 1; ; attempt += 1) {
            try {
                return await this.once(ctx, work);
            } catch (error) {
                if (attempt === ATTEMPTS || !isInTheWay(error)) throw error;
            }
        }
    }

    /** 2026-11: databases in the process have one connection, whose transactions do not wait for one another. */
    once(ctx, work) {
        if (!ONE_AT_A_TIME.includes(typeOf(this.connection))) return this.begin(ctx, work);
        const result = this.last.then(() => this.begin(ctx, work));
        this.last = result.catch(() => undefined);
        return result;
    }

    async begin(ctx, work) {
        let runner;
        try {
            return await this.connection.withTransaction(ctx, async tx => {
                runner = this.connection.getRepository(tx, 'Order').manager.queryRunner;
                if (SNAPSHOTS.includes(typeOf(this.connection))) await this.withoutSnapshot(tx);
                return work(tx);
            });
        } finally {
            // 2026-12: Vendure keeps the connection if it cannot return to a savepoint, and a shop has ten of them.
            if (runner && !runner.isReleased) await discard(runner);
        }
    }

    /** What is read after a lock must be what is there now. By default, MySQL reads what was there at first. */
    async withoutSnapshot(tx) {
        await this.connection.commitOpenTransaction(tx);
        await this.connection.startTransaction(tx, 'READ COMMITTED');
    }
}

async function discard(runner) {
    await runner.query('ROLLBACK').catch(() => undefined);
    await runner.release();
}

module.exports = { locked, Transactions };
