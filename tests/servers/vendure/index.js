// SPDX-License-Identifier: GPL-3.0-or-later
//
// A shop. PORT, ADMIN_PASSWORD, PAGE: environment. DATABASE: the address of an empty one of PostgreSQL; without it, the
// database is in memory, and ends with this process.
'use strict';

const { BcryptPasswordHashingStrategy, bootstrap, DefaultLogger, dummyPaymentHandler, JobQueueService, LogLevel } =
    require('@vendure/core');
const bcrypt = require('bcrypt');
const { LevelUpPlugin } = require('../../../plugins/vendure');
const { card } = require('./card');

// Passwords that end with the process need no slow hash.
class QuickHashing extends BcryptPasswordHashingStrategy {
    hash(plaintext) {
        return bcrypt.hash(plaintext, 4);
    }
}

const database = process.env.DATABASE ? { type: 'postgres', url: process.env.DATABASE } : { type: 'sqljs' };

bootstrap({
    apiOptions: {
        hostname: '127.0.0.1', port: Number(process.env.PORT), adminApiPath: 'admin-api', shopApiPath: 'shop-api',
        shopListQueryLimit: Number(process.env.PAGE),
    },
    authOptions: {
        // The shop's own storefront, in the tests' hands, is asked by bearer.
        tokenMethod: ['bearer', 'cookie'],
        cookieOptions: { secret: process.env.ADMIN_PASSWORD },
        requireVerification: false,
        passwordHashingStrategy: new QuickHashing(),
        superadminCredentials: { identifier: 'superadmin', password: process.env.ADMIN_PASSWORD },
    },
    dbConnectionOptions: { ...database, synchronize: true, logging: false },
    logger: new DefaultLogger({ level: LogLevel.Warn }),
    customFields: {},
    paymentOptions: { paymentMethodHandlers: [card, dummyPaymentHandler] },
    plugins: [LevelUpPlugin],
})
    .then(app => app.get(JobQueueService).start())
    .catch(error => {
        console.error(error);
        process.exit(1);
    });
