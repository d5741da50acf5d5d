// SPDX-License-Identifier: GPL-3.0-or-later
//
// The customer that an order runs on. No account is taken over, and nobody's record is rewritten by another's order.
'use strict';

const { createHash } = require('node:crypto');
const { Inject, Injectable } = require('@nestjs/common');
const {
    AuthService, ChannelService, ConfigService, Customer, CustomerService, isGraphQlErrorResult, TransactionalConnection,
    UserService,
} = require('@vendure/core');
const { IsNull } = require('typeorm');
const { isOwnAddress, normal, samePhone } = require('./people');
const { takeTurn } = require('./references');
const { Refusal } = require('./refusal');

const CONFLICT = { __typename: 'EmailAddressConflictError', message: 'EMAIL_ADDRESS_CONFLICT_ERROR' };
const WRONG = { __typename: 'InvalidCredentialsError', message: 'INVALID_CREDENTIALS_ERROR' };
const UNVERIFIED = { __typename: 'NotVerifiedError', message: 'NOT_VERIFIED_ERROR' };

class Customers {
    constructor(connection, config, auth, users, customers, channels) {
        Object.assign(this, { connection, config, auth, users, customers, channels });
    }

    /** The customer of a guest: a record of the same address stays as it is. */
    async guest(ctx, order, guest, email) {
        const known = await this.unlessMade(ctx, email, () => this.byAddress(ctx, email));
        const { firstName, lastName, phoneNumber } = known ?? { ...guest, phoneNumber: guest.phone ?? undefined };
        const input = { emailAddress: email, firstName, lastName, phoneNumber };
        const found = await this.config.orderOptions.guestCheckoutStrategy.setCustomerForOrder(ctx, order, input);
        if (isGraphQlErrorResult(found)) throw Refusal.of(ctx, found);
        return found;
    }

    /** A customer who has an account, if the password is right and the guest is the one it belongs to. */
    async member(ctx, guest, { email, password }) {
        const user = await this.users.getUserByEmailAddress(ctx, email, 'customer');
        if (!user || (await this.auth.verifyUserPassword(ctx, user.id, password)) !== true) throw Refusal.of(ctx, WRONG);
        if (this.config.authOptions.requireVerification && !user.verified) throw Refusal.of(ctx, UNVERIFIED);
        const customer = await this.customers.findOneByUserId(ctx, user.id, false);
        const own = isOwnAddress(guest.email, customer.emailAddress);
        if (!own && !samePhone(guest.phone, customer.phoneNumber)) {
            throw new Refusal('NotThisGuest', 'the account is of somebody else');
        }
        await this.channels.assignToChannels(ctx, Customer, customer.id, [ctx.channelId]);
        if (own) await this.bring(ctx, customer, guest);
        return this.customers.findOne(ctx, customer.id);
    }

    /** A new account; one that this very call made before is found again by its password. */
    async register(ctx, guest, { email, password }) {
        const read = () => this.users.getUserByEmailAddress(ctx, email, 'customer');
        const user = await this.unlessMade(ctx, email, read);
        if (user) {
            if ((await this.auth.verifyUserPassword(ctx, user.id, password)) !== true) throw Refusal.of(ctx, CONFLICT);
            return this.member(ctx, guest, { email, password });
        }
        const { firstName, lastName, phone } = guest;
        const input = { emailAddress: email, firstName, lastName, phoneNumber: phone ?? undefined, password };
        const made = await this.customers.registerCustomerAccount(ctx, input);
        if (isGraphQlErrorResult(made)) throw Refusal.of(ctx, made);
        return this.member(ctx, guest, { email, password });
    }

    /** What the customer now says of themselves. */
    async bring(ctx, customer, { firstName, lastName, phone }) {
        const said = { firstName, lastName, ...(phone ? { phoneNumber: phone } : {}) };
        const changed = Object.fromEntries(Object.entries(said).filter(([name, value]) => customer[name] !== value));
        if (Object.keys(changed).length) await this.customers.update(ctx, { id: customer.id, ...changed });
    }

    /** What is read of an address. If it is nothing, nobody else makes something of it before this transaction ends. */
    async unlessMade(ctx, email, read) {
        const found = await read();
        if (found) return found;
        // 2026-12: addresses are not unique in Vendure's tables.
        await takeTurn(ctx, this.connection, `address ${createHash('sha256').update(normal(email)).digest('hex')}`);
        return read();
    }

    async byAddress(ctx, email) {
        const where = { emailAddress: normal(email), deletedAt: IsNull() };
        return this.connection.getRepository(ctx, Customer).findOne({ where, relations: { user: true } });
    }
}

[TransactionalConnection, ConfigService, AuthService, UserService, CustomerService, ChannelService].forEach((token, i) =>
    Inject(token)(Customers, undefined, i),
);
Injectable()(Customers);

module.exports = { Customers };
