"""An order on its whole way, from the channel's first call to the ticket in a restaurant's kitchen.

Starts a real FFTP restaurant server and this service in front of it, both on the loopback interface, and
shows every call and answer. Leaves nothing running. Run it with ``make demo-fftp``.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers.fftp import FftpServer, install  # noqa: E402
from tests.servers.process import Server, SystemMissing, http  # noqa: E402

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
LINES_SHOWN = 40
WIDTH = 110


class OrderAhead(Server):
    """The service itself, as it is deployed: gunicorn over ``wsgi:app``."""

    name = "levelup_ov"
    ready_path = "/health"

    def __init__(self, restaurant: FftpServer) -> None:
        super().__init__()
        self.key = secrets.token_urlsafe(16)
        self._restaurant = restaurant

    def prepare(self, directory: Path) -> None:
        (directory / "accounts.toml").write_text(ACCOUNTS.format(base_url=self._restaurant.base_url))

    def command(self, directory: Path) -> Sequence[str | Path]:
        return [sys.executable, "-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "wsgi:app"]

    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            "LEVELUP_OV_ENV": "development",
            "LEVELUP_OV_API_KEYS": self.key,
            "LEVELUP_OV_ACCOUNTS": str(self.directory / "accounts.toml"),
            "LEVELUP_OV_DATA_DIR": str(self.directory / "data"),
            "BOSTON_ADMIN_TOKEN": self._restaurant.admin_token,
        }

    def __enter__(self) -> OrderAhead:
        super().__enter__()
        return self

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Make a call and show it with its answer.

        :raises SystemExit: the answer has another status than ``expect``.
        """
        show_call(method, path, body)
        headers = {"Authorization": f"token {self.key}"}
        answer = http(method, self.base_url + path, headers=headers, json=body)
        show(f"{answer.status_code} {answer.reason}", "32" if answer.ok else "33")
        show_json(answer.json())
        if answer.status_code != expect:
            raise SystemExit(f"expected status {expect}; the service's log:\n{self.log()}")
        return answer.json()


def main() -> None:
    """Run the demonstration."""
    headline("A restaurant opens: FFTP, a real ordering server from the package index")
    with FftpServer(install()) as restaurant, OrderAhead(restaurant) as service:
        print(f"  $RESTAURANT  {restaurant.base_url}")
        print(f"  $SERVICE     {service.base_url}, with the API key $KEY")
        tell_the_story(restaurant, service)
    headline("Both servers are stopped")


def tell_the_story(restaurant: FftpServer, service: OrderAhead) -> None:
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


def headline(text: str) -> None:
    """A step of the story."""
    print(f"\n{paint(text, '1')}\n")


def show_call(
    method: str, path: str, body: Any, *, root: str = "$SERVICE", header: str = "Authorization: token $KEY"
) -> None:
    """A call as one would type it."""
    line = f'  $ curl -s{"" if method == "GET" else f" -X {method}"} "{root}{path}" -H "{header}"'
    if body is not None:
        line += " -H 'Content-Type: application/json' -d '"
        line += "".join(f"\n    {part}" for part in pretty(body).splitlines()) + "'"
    print(paint(line, "36"))


def show_json(content: Any) -> None:
    """An answer, its end left out where it is long."""
    lines = pretty(content).splitlines()
    for line in lines[:LINES_SHOWN]:
        print(f"  {line}")
    if len(lines) > LINES_SHOWN:
        show(f"... and {len(lines) - LINES_SHOWN} more lines", "2")


def pretty(content: Any, depth: int = 0) -> str:
    """JSON in which everything that fits on a line stands on one."""
    line = json.dumps(content, ensure_ascii=False)
    if len(line) + depth <= WIDTH or not isinstance(content, (dict, list)):
        return line
    inner, outer = "\n" + " " * (depth + 2), "\n" + " " * depth
    if isinstance(content, dict):
        members = (f"{json.dumps(name)}: {pretty(value, depth + 2)}" for name, value in content.items())
        return f"{{{inner}{f',{inner}'.join(members)}{outer}}}"
    return f"[{inner}{f',{inner}'.join(pretty(value, depth + 2) for value in content)}{outer}]"


def show(text: str, style: str) -> None:
    """A remark beside an answer."""
    print(f"  {paint(text, style)}")


def paint(text: str, style: str) -> str:
    """``text`` in an ANSI style, where somebody looks at it."""
    return f"\033[{style}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


if __name__ == "__main__":
    try:
        main()
    except SystemMissing as reason:
        raise SystemExit(f"the demonstration cannot run here: {reason}") from None
