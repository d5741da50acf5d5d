// SPDX-License-Identifier: GPL-3.0-or-later
//
// The custom fields. Those of an order are read only: what the storefront's visitors may write decides no price.
'use strict';

const { Facet, FacetValue } = require('@vendure/core');

const PLACE = ['locationName', 'street', 'city', 'region', 'postalCode', 'country', 'phone', 'timeZone'];
const readonly = { readonly: true };
const internal = { internal: true };

// A modifier group is a facet, a modifier one of its values: both belong to channels and need no new entities.
const customFields = {
    Channel: [
        ...PLACE.map(name => ({ name, type: 'string' })),
        { name: 'acceptsTips', type: 'boolean', defaultValue: false },
    ],
    Facet: [
        { name: 'minimum', type: 'int', defaultValue: 0, min: 0 },
        { name: 'maximum', type: 'int', min: 0 },
    ],
    FacetValue: [{ name: 'price', type: 'int', defaultValue: 0 }],
    Product: [{ name: 'modifierGroups', type: 'relation', entity: Facet, list: true }],
    OrderLine: [
        // Eager: else a line that is added to again is priced without them (2026-11).
        { name: 'modifiers', type: 'relation', entity: FacetValue, list: true, eager: true },
        { name: 'instructions', type: 'text' },
        { name: 'recipient', type: 'text' },
        // The modifiers' ids as they were ordered: a value that staff delete is gone from the relation.
        { name: 'levelupChoices', type: 'text', ...internal },
    ],
    Order: [
        { name: 'pickupAt', type: 'datetime', ...readonly },
        { name: 'instructions', type: 'text', ...readonly },
        // Who picks the order up. A customer record is found by its address alone, and several people share one.
        { name: 'guestName', type: 'string', length: 1000, ...readonly },
        { name: 'guestPhone', type: 'string', ...readonly },
        { name: 'guestEmail', type: 'string', ...readonly },
        { name: 'deliveryInstructions', type: 'text', ...readonly },
        { name: 'levelupDelivery', type: 'boolean', defaultValue: false, ...readonly },
        { name: 'merchantFundedDiscount', type: 'int', defaultValue: 0, ...readonly },
        { name: 'levelupReference', type: 'string', ...readonly },
        { name: 'levelupCart', type: 'string', ...internal },
        { name: 'levelupFence', type: 'string', length: 300, ...internal },
    ],
};

module.exports = { customFields };
