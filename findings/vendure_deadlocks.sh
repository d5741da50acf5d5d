#!/bin/sh
# @vendure/core 3.7.3 (of 2026): what a deadlock undid is not run again, though Vendure means to do so.
#
# What one would guess: its TransactionWrapper runs the work again, up to five times, if the database gave the
# transaction up for another one's sake. What happens: the work runs once. Its promise is made before the retry begins,
# so that the retry waits five times for the same failure, and the call ends with "no elements in sequence". Over
# PostgreSQL it does not even try: the code it looks for is not the driver's, which is 40P01. A payment may have been
# taken by then. Seen over MariaDB 10.11.19, too: if the deadlock hits a nested transaction, its savepoint is gone, and
# the connection is never given back to the pool, which has ten of them.
# What to do: take rows in one order; run the work again yourself, with the answer of the payment that was taken; give
# the connection back. The plugin of this project does so (plugins/vendure/lib/transactions.js).
#
# Output seen on 2026-12-01:
#   @vendure/core 3.7.3
#   ER_LOCK_DEADLOCK: the work ran 1 time, EmptyError: no elements in sequence
#   40P01: the work ran 1 time, Error: deadlock detected
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --ignore-scripts --no-audit --no-fund @vendure/core@3.7.3
cat > try.js <<'JS'
const core = `${__dirname}/node_modules/@vendure/core`;
const { TransactionWrapper } = require(`${core}/dist/connection/transaction-wrapper.js`);

// What the wrapper asks of a connection; the work fails the first time as the drivers say it.
const runner = {
    isReleased: false, isTransactionActive: false, manager: {},
    async startTransaction() { this.isTransactionActive = true; },
    async commitTransaction() { this.isTransactionActive = false; },
    async rollbackTransaction() { this.isTransactionActive = false; },
    async release() {},
};
const context = { copy: () => ({ ...context }) };

async function attempt(code) {
    let ran = 0;
    const work = async () => {
        ran += 1;
        if (ran === 1) throw Object.assign(new Error('deadlock detected'), { code });
        return 'done';
    };
    const connection = { createQueryRunner: () => runner };
    const end = await new TransactionWrapper()
        .executeInTransaction(context, work, 'auto', undefined, connection)
        .catch(error => `${error.name}: ${error.message}`);
    console.log(`${code}: the work ran ${ran} time${ran === 1 ? '' : 's'}, ${end}`);
    return ran;
}

(async () => {
    console.log(`@vendure/core ${require(`${core}/package.json`).version}`);
    const runs = [await attempt('ER_LOCK_DEADLOCK'), await attempt('40P01')];
    process.exit(runs.every(each => each === 1) ? 0 : 1);
})();
JS
node try.js
