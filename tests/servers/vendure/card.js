// SPDX-License-Identifier: GPL-3.0-or-later
//
// A payment method for the single-use card. A real shop calls its card processor here.
'use strict';

const { paymentHandler } = require('../../../plugins/vendure');

const DECLINED = '4000000000000002';
const FAILING = '4000000000000119';
// How often cards are charged, also for what no order comes of, is counted in what the shop prints.
const CHARGED = 'a card is charged';

const card = paymentHandler('card', 'Credit card', {}, ({ number, cvv, month, year, zip, name }) => {
    if (!passesLuhn(number)) return { state: 'Declined', errorMessage: 'this is no card number' };
    if (number === DECLINED) return { state: 'Declined', errorMessage: 'the bank declines the card' };
    if (number === FAILING) return { state: 'Error', errorMessage: 'the card processor does not answer' };
    const complete = /^\d{3,4}$/.test(cvv) && /^(0[1-9]|1[0-2])$/.test(month) && /^\d{4}$/.test(year) && zip;
    if (!complete) return { state: 'Declined', errorMessage: 'the card is not complete' };
    console.log(CHARGED);
    return { state: 'Settled', metadata: { expires: `${month}/${year}`, zip, holder: name } };
});

function passesLuhn(number) {
    const digits = [...String(number)].reverse().map(Number);
    const sum = digits.reduce((sum, digit, i) => sum + (i % 2 ? (digit * 2 > 9 ? digit * 2 - 9 : digit * 2) : digit), 0);
    return digits.length >= 12 && sum % 10 === 0;
}

module.exports = { card };
