// SPDX-License-Identifier: GPL-3.0-or-later
'use strict';

const gql = require('graphql-tag');

const schema = gql`
    type LevelUpInfo {
        "Version of the plugin."
        version: String!
    }
    "Why nothing was done. kind is a type of error of Vendure's, or of the plugin's own."
    type LevelUpRefusal {
        kind: String!
        message: String!
        "Position of the item that it is about."
        item: Int
    }
    "A cart, or why there is none. Amounts are minor units of the channel's currency, without tax."
    type LevelUpCart {
        refusal: LevelUpRefusal
        "Opens the cart for levelUpPlace."
        token: String
        order: Order
        merchantDiscount: Int
        providerDiscount: Int
    }
    type LevelUpPlaced {
        refusal: LevelUpRefusal
        "What the order is placed under, as it is kept with it."
        reference: String
        order: Order
    }
    "The order is canceled, unless there is a refusal."
    type LevelUpCanceled {
        refusal: LevelUpRefusal
    }
    type LevelUpPlacedOrder {
        id: ID!
        code: String!
        pickupAt: DateTime
        "Vendure's state of the order, and when it came to it. Since version 2.1."
        state: String!
        stateSince: DateTime
        "pickup or delivery. Since version 2.3."
        fulfillment: String!
    }
    type LevelUpReference {
        reference: String!
        "How often it was fenced: only carts opened since the last time can be placed under it."
        fences: Int!
        "Null: no order is placed under it."
        order: LevelUpPlacedOrder
        "Further orders under it: none, since the plugin's version 2."
        others: [ID!]!
    }
    input LevelUpOption {
        group: String!
        value: String!
    }
    input LevelUpItem {
        variant: String!
        quantity: Int!
        options: [LevelUpOption!]!
        instructions: String
        recipient: String
    }
    input LevelUpGuest {
        firstName: String!
        lastName: String!
        phone: String
        email: String!
    }
    "email and password: the customer that the order runs on, a guest where there is no password."
    input LevelUpCustomer {
        email: String!
        password: String
        "Make the account if the address has none."
        register: Boolean!
    }
    input LevelUpAddress {
        street: String!
        extra: String
        city: String
        region: String
        postalCode: String
        instructions: String
    }
    "A delivery; without an address, it is priced as far as the shop can."
    input LevelUpDelivery {
        address: LevelUpAddress
    }
    "reference: what the cart will be placed under, where that is known."
    input LevelUpOpenInput {
        key: String!
        reference: String
        guest: LevelUpGuest!
        customer: LevelUpCustomer!
        items: [LevelUpItem!]!
        merchantFundedDiscount: Int!
        tip: Int!
        pickupAt: DateTime
        instructions: String
        "Since version 2.3. For a delivery, pickupAt is when it is wanted."
        delivery: LevelUpDelivery
    }
    "amount: what the order, tip included, was shown to cost. reference: no two orders are placed under one."
    input LevelUpPlaceInput {
        key: String!
        token: String!
        code: String!
        reference: String!
        amount: Int!
        tip: Int!
        pickupAt: DateTime
        instructions: String
        method: String!
        payment: JSON!
    }
    extend type Query {
        levelUp: LevelUpInfo!
        levelUpFind(reference: String!): LevelUpReference!
    }
    extend type Mutation {
        "A new cart with everything in it, priced; nothing is placed."
        levelUpOpen(input: LevelUpOpenInput!): LevelUpCart!
        "Place the cart's order, with these last values, paid."
        levelUpPlace(input: LevelUpPlaceInput!): LevelUpPlaced!
        "Make sure that no cart that is open now will be placed under a reference; the order if there is one already."
        levelUpFence(reference: String!, key: String!): LevelUpReference!
        "Cancel the order that is placed under a reference, unless staff has started to fulfill it. Since version 2.2."
        levelUpCancel(reference: String!, key: String!): LevelUpCanceled!
    }
`;

module.exports = { schema };
