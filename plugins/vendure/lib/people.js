// SPDX-License-Identifier: GPL-3.0-or-later
//
// Whether two say that they are one.
'use strict';

const DERIVED = /\+[0-9a-f]{12}(?=@[^@]*$)/;

const normal = email => email.trim().toLowerCase();

/** Whether an account's address is the guest's, or was derived from it (`robin+4f1c0a9b2d3e@example.com`). */
function isOwnAddress(guest, account) {
    return normal(guest) === normal(account) || normal(guest) === normal(account).replace(DERIVED, '');
}

/** Whether two telephone numbers have the same last ten digits, or the same digits where there are fewer. */
function samePhone(one, other) {
    const [a, b] = [one, other].map(each => String(each ?? '').replace(/\D/g, '').slice(-10));
    return a.length >= 7 && a === b;
}

module.exports = { isOwnAddress, normal, samePhone };
