// SPDX-License-Identifier: GPL-3.0-or-later
//
// Why something is not done, as data of the answer: everything that a document started is rolled back.
'use strict';

const SAID_IN = ['interceptorError', 'paymentErrorMessage', 'transitionError', 'validationErrorMessage', 'errorDetail'];

/** `kind` is Vendure's own type of the error, or one of this plugin's; `item` the position of the item it is about. */
class Refusal extends Error {
    constructor(kind, message, item = null) {
        super(message);
        Object.assign(this, { kind, item });
    }

    /** As the schema has it. An instance of Error would count as thrown. */
    asResult() {
        return { kind: this.kind, message: this.message, item: this.item };
    }

    /** Of one of Vendure's error results, in the shop's words. */
    static of(ctx, error, item = null) {
        const said = SAID_IN.map(name => error[name]).find(Boolean);
        return new Refusal(error.__typename, said ?? ctx.translate(`errorResult.${error.message}`, { ...error }), item);
    }
}

module.exports = { Refusal };
