"""An order on its whole way, from the channel's first call to the ticket in a restaurant's kitchen.

Starts a real FFTP restaurant server and this service in front of it, both on the loopback interface, and
shows every call and answer. Leaves nothing running. Run it with ``make demo-fftp``.
"""

from __future__ import annotations

from demo import OrderAhead, headline, run, show, show_call, show_json

from tests.servers.fftp import FftpServer, install

ACCOUNTS = """
[accounts.boston]
provider = "fftp"
name = "Boston Deli"
time_zone = "America/New_York"

[accounts.boston.settings]
base_url = "{base_url}"
admin_token = "env:BOSTON_ADMIN_TOKEN"
"""
ITEMS = [
    {
        "item": {
            "provider_id": "burger",
            "quantity": 2,
            "special_instructions": "no onions",
            "options": [
                {"option": {"provider_id": "burger%3Aside:salad"}},
                {"option": {"provider_id": "burger%3Aextra:swiss"}},
            ],
        }
    },
    {"item": {"provider_id": "soda", "quantity": 1}},
]
USER = {"first_name": "Ada", "last_name": "Example", "email": "ada@example.com"}


def main() -> None:
    """Run the demonstration."""
    headline("A restaurant opens: FFTP, a real ordering server from the package index")
    with (
        FftpServer(install()) as restaurant,
        OrderAhead(ACCOUNTS.format(base_url=restaurant.base_url), BOSTON_ADMIN_TOKEN=restaurant.admin_token) as service,
    ):
        print(f"  $RESTAURANT  {restaurant.base_url}")
        print(f"  $SERVICE     {service.base_url}, with the API key $KEY")
        show_the_demo(restaurant, service)
    headline("Both servers are stopped")


def show_the_demo(restaurant: FftpServer, service: OrderAhead) -> None:
    """Every step from the merchant to the ticket."""
    headline("1. Who sells here?")
    merchants = service.call("GET", "/merchants")
    merchant_id = merchants["merchants"][0]["merchant"]["provider_id"]

    headline("2. Where?")
    locations = service.call("GET", f"/merchants/{merchant_id}/locations")
    location = f"/locations/{locations['locations'][0]['location']['provider_id']}"

    headline("3. What is on the menu?")
    service.call("GET", f"{location}/menu")

    headline("4. Two burgers and a soda, as soon as possible, one dollar off paid by the merchant: what and when?")
    wanted = {"items": ITEMS, "user": USER, "merchant_funded_discount": 100, "special_instructions": "Ring the bell"}
    validated = service.call("POST", f"{location}/order_validations", {"order_validation": wanted})["order_validation"]
    pays = validated["total"] + validated["tax"] + (validated["tip"] or 0) - validated["merchant_funded_discount"]
    held = len(restaurant.orders())
    show(f"The user pays {pays} cents. The restaurant holds {held} orders: asking leaves none.", "1")

    headline("5. The soda is sold out at the counter: the refusal comes in the restaurant's own words")
    with restaurant.sold_out("soda"):
        service.call("POST", f"{location}/order_validations", {"order_validation": wanted}, expect=422)

    headline("6. The soda is back; the order is placed and paid with LevelUp")
    submission = {"order_submission": {**wanted, "tender": "LevelUp", "metadata": validated["metadata"]}}
    submitted = service.call("POST", f"{location}/order_submissions", submission)["order_submission"]

    headline("7. The ticket, as the restaurant's own server reports it")
    show_call("GET", "/fftp/v1/orders", None, root="$RESTAURANT", header="x-admin-token: $TOKEN")
    orders = restaurant.orders()
    show_json(orders)
    if [(order["ticket_number"], order["paid"]) for order in orders] != [(submitted["order_id"], True)]:
        raise SystemExit("the restaurant should hold this one order, and hold it as paid")


if __name__ == "__main__":
    run(main)
