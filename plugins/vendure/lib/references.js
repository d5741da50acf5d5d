// SPDX-License-Identifier: GPL-3.0-or-later
//
// References under which orders are placed: each once per shop, or never.
'use strict';

const { Order } = require('@vendure/core');
const { Column, Entity, PrimaryColumn } = require('typeorm');

/** `owner` is the id of the order that is placed under the reference; null where the reference is void. */
class LevelUpReference {}
PrimaryColumn('varchar', { length: 255 })(LevelUpReference.prototype, 'reference');
Column('varchar', { length: 255, nullable: true })(LevelUpReference.prototype, 'owner');
Entity('level_up_reference')(LevelUpReference);

/**
 * Claim a reference for an order, or void it where `owner` is null; who holds it then.
 *
 * A claim of another transaction that is not committed yet is waited for: so a reference that is void here will never
 * be placed, and one that is placed is seen.
 */
async function claim(ctx, connection, reference, owner) {
    const rows = connection.getRepository(ctx, LevelUpReference);
    await rows.createQueryBuilder().insert().values({ reference, owner }).orIgnore().execute();
    return (await rows.findOneByOrFail({ reference })).owner;
}

/** Let go of a claim whose placing was refused. */
const release = (ctx, connection, reference) =>
    connection.getRepository(ctx, LevelUpReference).delete({ reference });

/** What the shop holds under a reference, in all channels. */
async function lookUp(ctx, connection, reference) {
    const row = await connection.getRepository(ctx, LevelUpReference).findOneBy({ reference });
    const orders = await connection
        .getRepository(ctx, Order)
        .createQueryBuilder('order')
        .where('order.customFields.levelupReference = :reference', { reference })
        .andWhere('order.orderPlacedAt IS NOT NULL')
        .orderBy('order.id', 'ASC')
        .getMany();
    const [order, ...others] = orders.map(({ id, code, customFields }) => ({ id, code, pickupAt: customFields.pickupAt }));
    return { reference, void: row !== null && row.owner === null, order, others: others.map(each => each.id) };
}

module.exports = { claim, LevelUpReference, lookUp, release };
