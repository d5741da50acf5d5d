// SPDX-License-Identifier: GPL-3.0-or-later
//
// The plugin and what it adds to a shop's configuration. Facts about Vendure 3.7.3 are dated.
'use strict';

const {
    defaultPromotionActions, defaultShippingEligibilityChecker, PluginCommonModule, VendurePlugin,
} = require('@vendure/core');
const { merchantFundedDiscount } = require('./lib/discount');
const { Deliveries, deliveryArea } = require('./lib/delivery');
const { customFields } = require('./lib/fields');
const { EnforceChoices, ModifierPrices } = require('./lib/modifiers');
const { levelupTender, paymentHandler } = require('./lib/payments');
const { withoutShipping } = require('./lib/process');
const { Carts } = require('./lib/carts');
const { Customers } = require('./lib/customers');
const { LevelUpReference } = require('./lib/references');
const { LevelUpResolver, schema } = require('./lib/resolver');
const { TipsApart } = require('./lib/tips');

/** The service counts in hundredths: with another precision, every amount would be wrong by a factor of 10 or more. */
function checkMoney(strategy) {
    const precision = strategy?.precision ?? 2;
    if (precision !== 2) {
        throw new Error(`LevelUpPlugin needs money with 2 decimals; the shop's moneyStrategy has ${precision}`);
    }
}

/** Adds the plugin's parts to what the shop has: strategies are wrapped, never replaced. */
function configure(config) {
    checkMoney(config.entityOptions.moneyStrategy);
    for (const [entity, fields] of Object.entries(customFields)) {
        config.customFields[entity] = [...(config.customFields[entity] ?? []), ...fields];
    }
    const orders = config.orderOptions;
    orders.orderItemPriceCalculationStrategy = new ModifierPrices(orders.orderItemPriceCalculationStrategy);
    orders.orderInterceptors = [...(orders.orderInterceptors ?? []), new EnforceChoices()];
    orders.process = (orders.process ?? []).map(withoutShipping);
    const taxes = config.taxOptions;
    taxes.orderTaxCalculationStrategy = new TipsApart(taxes.orderTaxCalculationStrategy);
    const shipping = config.shippingOptions;
    const checkers = shipping.shippingEligibilityCheckers ?? [defaultShippingEligibilityChecker];
    shipping.shippingEligibilityCheckers = [...checkers, deliveryArea];
    const payments = config.paymentOptions;
    payments.paymentMethodHandlers = [...payments.paymentMethodHandlers, levelupTender];
    const promotions = config.promotionOptions;
    promotions.promotionActions = [...(promotions.promotionActions ?? defaultPromotionActions), merchantFundedDiscount];
    return config;
}

class LevelUpPlugin {}
VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.7.0',
    entities: [LevelUpReference],
    configuration: configure,
    providers: [Carts, Customers, Deliveries],
    shopApiExtensions: { schema, resolvers: [LevelUpResolver] },
})(LevelUpPlugin);

module.exports = { checkMoney, LevelUpPlugin, paymentHandler };
