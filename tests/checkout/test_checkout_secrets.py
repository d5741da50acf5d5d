"""Tokens: sealed in the database, under keys that rotate; in no answer and no log."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.checkout.connections import SEALED_FOR
from levelup_ov.config import new_secret_key
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused
from levelup_ov.sealing import PREFIX, Sealer
from levelup_ov.standins.levelup.world import SHOP_APP
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal, order


def stored(environ: dict[str, str], query: str) -> list[Any]:
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.rule("META-7")
def test_tokens_rotate_with_the_keys(make_site: MakeSite, environ: dict[str, str]) -> None:
    old, new = new_secret_key(), new_secret_key()
    id = make_site(LEVELUP_OV_SECRET_KEYS=old).connect_user()
    query = f"SELECT token FROM checkout_connections WHERE id = '{id}'"
    ((before,),) = stored(environ, query)
    assert before.startswith(PREFIX)
    assert make_site(LEVELUP_OV_SECRET_KEYS=f"{old},{new}").get(f"/users/{id}/profile")
    assert stored(environ, query) == [(before,)]
    # The first use under the new order of the keys seals it again.
    make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}").get(f"/users/{id}/profile")
    ((after,),) = stored(environ, query)
    assert after != before
    assert make_site(LEVELUP_OV_SECRET_KEYS=new).get(f"/users/{id}/profile")
    lost = make_site(LEVELUP_OV_SECRET_KEYS=old).call("GET", f"/users/{id}/profile")
    assert lost.refusal == (422, "not_connected", None)


@pytest.mark.rule("META-7")
def test_a_token_opens_for_its_own_connection_only(make_site: MakeSite, environ: dict[str, str]) -> None:
    key = new_secret_key()
    id = make_site(LEVELUP_OV_SECRET_KEYS=key).connect_user()
    ((sealed,),) = stored(environ, f"SELECT token FROM checkout_connections WHERE id = '{id}'")
    sealer = Sealer([Secret(key)], SEALED_FOR)
    assert sealer.open(sealed, id) and sealer.open(sealed, "usr_other") is None


@pytest.mark.rule("ERR-4")
def test_no_secret_is_returned_or_kept(
    site: Site, merchant: str, environ: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    given: list[str] = []
    answers: list[str] = []
    call, send = Site.call, site.line.__class__.__call__

    def listen(line: Any, environ: dict[str, Any], start_response: Any) -> Any:
        given.append(environ.get("HTTP_AUTHORIZATION", ""))
        return send(line, environ, start_response)

    def note(site: Site, *arguments: Any, **named: Any) -> Any:
        answer = call(site, *arguments, **named)
        answers.append(json.dumps(answer.json) + str(answer.headers))
        return answer

    monkeypatch.setattr("tests.checkout.site.Line.__call__", listen)
    monkeypatch.setattr(Site, "call", note)
    user = site.connect_user()
    made = site.create_user()["id"]
    site.add_card(made)
    site.request_permissions()
    done = site.charged(meal(merchant, user))
    site.refund(done["uuid"], manager_confirmation="canary-confirmation")
    site.charged(order(merchant, made, receipt_message_html="canary-receipt"))
    site.line.faults["/completed_orders"] = ["unreached"] * 3
    site.charge(order(merchant, user, receipt_message_html="canary-receipt"))
    site.reconcile()
    tokens = {word for header in given for word in re.split('[" ,=]', header) if len(word) > 30}
    assert len(tokens) >= 4
    secrets = {*tokens, SHOP_APP.client_secret, "canary-confirmation", "4111 1111 1111 1111", "4111111111111111"}
    reported = "\n".join([*answers, *(str(record.__dict__) for record in caplog.records)])
    dumped = "\n".join(
        str(row)
        for table in ("checkout_connections", "checkout_states", "checkout_orders", "submissions")
        for row in stored(environ, f"SELECT * FROM {table}")
    )
    assert [secret for secret in secrets if secret in reported] == []
    assert [secret for secret in {*secrets, "canary-receipt", "ada@example.com"} if secret in dumped] == []


def test_what_completes_an_order_is_sealed_and_dropped_in_time(
    site: Site, merchant: str, user: str, environ: dict[str, str]
) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    site.charge(order(merchant, user), "K")
    query = "SELECT body FROM checkout_orders"
    ((body,),) = stored(environ, query)
    assert body.startswith(PREFIX)
    site.charged(order(merchant, user), "K")
    assert stored(environ, query) == [(None,)]


@pytest.mark.rule("DELIVERY-4")
@pytest.mark.parametrize("street", ["21 CANARY ST, BOSTON, MA 02114", "C-a-n-a-r-i-e Street"])
def test_no_address_is_kept_with_why_it_was_refunded(
    site: Site, merchant: str, user: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, street: str
) -> None:
    """The provider may quote it in a spelling that nothing recognizes."""

    def refuse(*_: Any) -> None:
        raise Refused("order_refused", f"{street} is outside our delivery zone")

    monkeypatch.setattr(SandboxAdapter, "submit_order", refuse)
    body = meal(merchant, user, outstanding_amount=1370)
    body["order_submission"] |= {
        "fulfillment_type": "delivery",
        "delivery_address": {
            "street_address": "21 Canary Street", "locality": "Boston", "region": "MA", "postal_code": "02114",
        },
    }  # fmt: skip
    first, again = (site.charge(body, "K") for _ in range(2))
    assert first.error["message"].endswith("is outside our delivery zone (the charge was refunded)")
    assert "CANARY" not in first.error["message"] and first.error["code"] == again.error["code"] == "order_refused"
    kept = "the provider refused the order for another reason"
    assert again.error["message"] == f"{kept} (the charge was refunded)"
    problem = json.dumps({"code": "order_refused", "message": kept})
    assert stored(environ, "SELECT problem FROM checkout_orders") == [(problem,)]
