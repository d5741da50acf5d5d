// SPDX-License-Identifier: GPL-3.0-or-later
//
// Orders of LevelUp are picked up: they need no shipping method. Those of the shop's own storefront do as before.
'use strict';

const { configureDefaultOrderProcess, defaultOrderProcess } = require('@vendure/core');

/** Vendure's own order process with that exception; any other process is left as it is. */
function withoutShipping(process) {
    // The configuration holds a copy of it, with the same functions (2026-11).
    if (process.onTransitionStart !== defaultOrderProcess.onTransitionStart) return process;
    const relaxed = configureDefaultOrderProcess({ arrangingPaymentRequiresShipping: false });
    return {
        ...process,
        async init(injector) {
            await process.init(injector);
            await relaxed.init(injector);
        },
        onTransitionStart: (from, to, data) =>
            (data.order.customFields?.levelupCart ? relaxed : process).onTransitionStart(from, to, data),
    };
}

module.exports = { withoutShipping };
