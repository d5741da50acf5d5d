"""An order on its whole way, from the channel's first call to the books of a real commerce server.

Starts a real Vendure server and this service in front of it, both on the loopback interface, and shows every call
and answer: a guest who pays with LevelUp, a member whose single-use card is declined and then another charged.
The card authorization is a handler in the shop's configuration. Leaves nothing running. Run it with
``make demo-vendure``.
"""

from __future__ import annotations

from demo import OrderAhead, headline, run, show, show_json

from tests.servers.vendure_server import VendureServer, install

ACCOUNTS = """
[accounts.boston]
provider = "vendure"
name = "Boston Burgers"
settings = {{base_url = "{base_url}", channels = "congress, harbor", tender_key = "env:TENDER_KEY"}}

[accounts.club]
provider = "vendure"
name = "Boston Burgers for members"
settings = {{base_url = "{base_url}", channels = "congress", checkout = "account", tender_key = "env:TENDER_KEY"}}
"""
USER = {"first_name": "Ada", "last_name": "Example", "email": "ada@example.com", "phone": "+16175550123"}
CARD = {"number": "4111111111111111", "cvv": "123", "zip": "02114", "expiration_month": "01", "expiration_year": "2031"}
DECLINED = {**CARD, "number": "4000000000000002"}


def main() -> None:
    """Run the demonstration."""
    headline("A shop opens: Vendure, a real commerce server from the package index, with its database in memory")
    with (
        VendureServer(install()) as shop,
        OrderAhead(ACCOUNTS.format(base_url=shop.base_url), TENDER_KEY=shop.tender_key) as service,
    ):
        print(f"  $SHOP     {shop.base_url}")
        print(f"  $SERVICE  {service.base_url}, with the API key $KEY")
        show_the_demo(shop, service)
    headline("Both servers are stopped")


def show_the_demo(shop: VendureServer, service: OrderAhead) -> None:
    """Every step from the channels to the orders."""
    headline("1. Where? Each channel of the shop is a location")
    service.call("GET", "/merchants/boston/locations")

    headline("2. What is on the menu?")
    service.call("GET", "/locations/boston.congress/menu")

    headline("3. A guest: two burgers and a soda at half past six, a dollar off paid by the merchant, two dollars tip")
    options = [{"option": {"provider_id": shop.options[name]}} for name in ("Salad", "Swiss")]
    burger = {"provider_id": shop.items["Burger"], "quantity": 2, "options": options, "special_instructions": "crisp"}
    soda = {"provider_id": shop.items["Soda"], "quantity": 1}
    wanted = {
        "items": [{"item": burger}, {"item": soda}],
        "user": USER,
        "tip": 200,
        "merchant_funded_discount": 100,
        "desired_ready_time": "2037-06-03T18:30",
    }
    boston = "/locations/boston.congress"
    validated = service.call("POST", f"{boston}/order_validations", {"order_validation": wanted})["order_validation"]
    show(f"The shop's own happy hour takes {validated['provider_funded_discount']} cents off the soda.", "1")

    headline("4. Two burgers without a side: the refusal comes in the shop's own words")
    bare = {**wanted, "items": [{"item": {**burger, "options": []}}]}
    service.call("POST", f"{boston}/order_validations", {"order_validation": bare}, expect=422)

    headline("5. The guest tips a dollar more; the cart is taken up again, and the order paid with LevelUp")
    submission = {**wanted, "tip": 300, "tender": "LevelUp", "metadata": validated["metadata"]}
    first = service.call("POST", f"{boston}/order_submissions", {"order_submission": submission})["order_submission"]

    headline("6. A member: an account is made, and its credentials go back sealed")
    club = "/locations/club.congress"
    wanted["user"] = {**USER, "email": "ada.member@example.com"}
    validated = service.call("POST", f"{club}/order_validations", {"order_validation": wanted})["order_validation"]

    headline("7. Their card is declined, in the words of the bank")
    submission = {**wanted, "credit_card": DECLINED, "metadata": validated["metadata"]}
    service.call("POST", f"{club}/order_submissions", {"order_submission": submission}, expect=422)

    headline("8. Another card is charged, for the same cart")
    submission = {**submission, "credit_card": CARD}
    second = service.call("POST", f"{club}/order_submissions", {"order_submission": submission})["order_submission"]

    headline("9. The orders, as the shop's own admin API reports them")
    orders = shop.orders()
    show_json(orders)
    found = [(order["code"], order["state"]) for order in orders]
    if found != [(each["order_id"], "PaymentSettled") for each in (second, first)]:
        raise SystemExit("the shop should hold these two orders, and hold them as paid")


if __name__ == "__main__":
    run(main)
