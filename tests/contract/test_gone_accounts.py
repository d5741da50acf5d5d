"""An account is not in the accounts file, or not yet on this host, while an order of it may stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.channel import Answer, Channel, Clock, item, order
from tests.contract.fakes import CookingAdapter

BOTH = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"

[accounts.other]
provider = "fake"
name = "Other Diner"
"""
WITHOUT = BOTH[BOTH.index("[accounts.other]") :]

Host = Callable[[str], Channel]


@pytest.fixture
def host(tmp_path: Path, environ: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A service with these accounts; all share one ledger and one provider."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    accounts = tmp_path / "accounts.toml"
    for kept in (CookingAdapter.made, CookingAdapter.references, CookingAdapter.script):
        kept.clear()

    def make(content: str) -> Channel:
        accounts.write_text(content)
        more = {
            "LEVELUP_OV_ADAPTERS": "fake=tests.contract.fakes:CookingAdapter", "LEVELUP_OV_ACCOUNTS": str(accounts),
            "LEVELUP_OV_RECONCILE_GRACE": "0.1",
        }  # fmt: skip
        return Channel(create_app(load_settings({**environ, **more}), clock=clock))

    return make


def send(channel: Channel, key: str = "k-1", location: str = "fake.one", **members: Any) -> Answer:
    body = {"order_submission": order(**members)}
    path = f"/locations/{location}/order_submissions"
    return channel.send("POST", path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.rule("SUB-4")
@pytest.mark.parametrize("location", ["fake.one", "fake.%6Fne"])
def test_a_placed_order_is_told_again(host: Host, location: str) -> None:
    first = send(host(BOTH))
    again = send(host(WITHOUT), location=location)
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (200, first.json, "true")
    assert send(host(WITHOUT), items=[item("sandwich", quantity=2)]).refusal[:2] == (422, "idempotency_key_reused")
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_an_unknown_order_waits_for_the_account(host: Host) -> None:
    both = host(BOTH)
    CookingAdapter.script.append("lost")
    assert send(both).error["code"] == "outcome_unknown"
    without = host(WITHOUT)

    for key in ("k-1", "another key of the same order"):
        answer = send(without, key)
        assert (answer.refusal[:2], answer.error["retryable"]) == ((504, "outcome_unknown"), True)
        assert "the account of this order is not configured here" in answer.error["message"]

    assert send(both).order["order_id"] == "A-1"
    assert send(without).order["order_id"] == "A-1"
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-4", "EP-7")
def test_an_order_that_was_not_placed_has_no_location(host: Host) -> None:
    without = host(WITHOUT)
    assert send(without).refusal == (404, "location_not_found", None)
    CookingAdapter.script.append("refused")
    assert send(host(BOTH)).error["code"] == "item_unavailable"
    assert send(without).refusal == (404, "location_not_found", None)
    # Nothing of it was claimed.
    assert send(host(BOTH)).order["order_id"] == "A-1"


@pytest.mark.rule("STAT-1", "STAT-6")
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k-1"}], ids=["a number", "a key"])
def test_the_status_is_not_known_until_the_account_is_back(host: Host, headers: dict[str, str]) -> None:
    assert send(host(BOTH)).order["order_id"] == "A-1"
    without, path = host(WITHOUT), "/locations/fake.one/orders/A-1"
    for answer in (without.get(path, **headers), without.send("POST", f"{path}/cancellation", headers=headers)):
        assert (answer.refusal[:2], answer.error["retryable"]) == ((503, "provider_unavailable"), True)
    assert without.get("/locations/fake.one/orders/A-2", **headers).refusal[:2] == (404, "location_not_found")


@pytest.mark.rule("STAT-1", "SUB-5")
def test_the_status_of_an_unknown_order_is_unknown(host: Host) -> None:
    CookingAdapter.script.append("lost")
    assert send(host(BOTH)).error["code"] == "outcome_unknown"
    answer = host(WITHOUT).get("/locations/fake.one/orders/A-1", **{"Idempotency-Key": "k-1"})
    assert answer.refusal[:2] == (504, "outcome_unknown")
