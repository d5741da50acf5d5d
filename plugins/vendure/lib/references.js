// SPDX-License-Identifier: GPL-3.0-or-later
//
// References under which orders are placed: each once per shop.
'use strict';

const { Order } = require('@vendure/core');
const { Column, Entity, PrimaryColumn } = require('typeorm');
const { locked } = require('./transactions');

/**
 * `owner`: the id of the order that is placed under the reference, null before. `fences`: how often it was fenced.
 *
 * Only carts that were opened since the last fence can be placed: what was sent before and arrives late cannot, and
 * the same submission can still be sent again.
 */
class LevelUpReference {}
PrimaryColumn('varchar', { length: 255 })(LevelUpReference.prototype, 'reference');
Column('varchar', { length: 255, nullable: true })(LevelUpReference.prototype, 'owner');
Column('int', { default: 0 })(LevelUpReference.prototype, 'fences');
Entity('level_up_reference')(LevelUpReference);

const rowsOf = (ctx, connection) => connection.getRepository(ctx, LevelUpReference);

/** The row of a reference, made if there is none, locked: a transaction that holds it is waited for. */
async function lock(ctx, connection, reference) {
    const rows = rowsOf(ctx, connection);
    const row = { reference, owner: null, fences: 0 };
    // Not orIgnore: in MySQL, two that find the row would share it, and neither could lock it.
    await rows.createQueryBuilder().insert().values(row).orUpdate(['reference'], ['reference']).execute();
    const query = rows.createQueryBuilder('kept').where('kept.reference = :reference', { reference });
    return locked(connection, query).getOneOrFail();
}

/** Wait for those who have called this with the same name, and let others wait until this transaction ends. */
async function takeTurn(ctx, connection, name) {
    await lock(ctx, connection, name);
    await rowsOf(ctx, connection).delete({ reference: name });
}

/** What a cart is marked with that is opened for a reference now. */
async function markFor(ctx, connection, reference) {
    const row = await rowsOf(ctx, connection).findOneBy({ reference });
    return mark({ reference, fences: row?.fences ?? 0 });
}

const mark = ({ reference, fences }) => `${reference} ${fences}`;

/** Whether a cart with such a mark, or with none, was opened since the last fence of the locked row. */
const isCurrent = (row, marked) => row.fences === 0 || marked === mark(row);

const own = (ctx, connection, row, owner) => rowsOf(ctx, connection).update({ reference: row.reference }, { owner });

/** Refuse from now on what was opened before, unless an order is placed under the reference already. */
async function fence(ctx, connection, reference) {
    const row = await lock(ctx, connection, reference);
    if (row.owner === null) await rowsOf(ctx, connection).update({ reference }, { fences: row.fences + 1 });
}

/** What the shop holds under a reference, in all channels. */
async function lookUp(ctx, connection, reference) {
    const row = await rowsOf(ctx, connection).findOneBy({ reference });
    const orders = await connection
        .getRepository(ctx, Order)
        .createQueryBuilder('placed')
        .where('placed.customFields.levelupReference = :reference', { reference })
        .andWhere('placed.orderPlacedAt IS NOT NULL')
        .orderBy('placed.id', 'ASC')
        .getMany();
    const [order, ...others] = orders.map(({ id, code, state, customFields }) => ({
        id, code, state, pickupAt: customFields.pickupAt, stateSince: () => since(connection, id, state),
        fulfillment: customFields.levelupDelivery ? 'delivery' : 'pickup',
    }));
    return { reference, fences: row?.fences ?? 0, order, others: others.map(each => each.id) };
}

/** When an order came to its state, by the shop's history; null where that does not say. In no transaction. */
async function since(connection, id, state) {
    // By its name: Vendure does not export the entity (2026-11).
    const moved = await connection.getRepository('OrderHistoryEntry').findOne({
        where: { order: { id }, type: 'ORDER_STATE_TRANSITION' },
        order: { id: 'DESC' },
    });
    return moved?.data.to === state ? moved.createdAt : null;
}

module.exports = { fence, isCurrent, LevelUpReference, lock, lookUp, markFor, own, takeTurn };
