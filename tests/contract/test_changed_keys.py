"""The secret keys are changed, or two hosts have none in common, and the same submission comes again (META-7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings, new_secret_key
from tests.channel import Answer, Channel, Clock, item, order
from tests.contract.fakes import CookingAdapter

ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
"""
OLD, NEW, OTHER = (new_secret_key() for _ in range(3))
CHANGES = {
    "dropped": (OLD, NEW),
    "all dropped": (f"{OLD},{OTHER}", NEW),
    "added": (OLD, f"{OLD},{NEW}"),
    "added first": (OLD, f"{NEW},{OLD}"),
    "dropped in time": (f"{NEW},{OLD}", NEW),
    "dropped in the wrong order": (f"{NEW},{OLD}", OLD),
}
"""The keys before and after."""
SHARED = [name for name, (before, after) in CHANGES.items() if set(before.split(",")) & set(after.split(","))]

Host = Callable[[str], Channel]


@pytest.fixture
def host(tmp_path: Path, environ: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A service with these keys; all share one ledger and one provider."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(ACCOUNTS)
    for kept in (CookingAdapter.made, CookingAdapter.references, CookingAdapter.script):
        kept.clear()

    def make(keys: str) -> Channel:
        more = {
            "LEVELUP_OV_ADAPTERS": "fake=tests.contract.fakes:CookingAdapter", "LEVELUP_OV_ACCOUNTS": str(accounts),
            "LEVELUP_OV_SECRET_KEYS": keys, "LEVELUP_OV_RECONCILE_GRACE": "0.1",
        }  # fmt: skip
        return Channel(create_app(load_settings({**environ, **more}), clock=clock))

    return make


def send(channel: Channel, key: str | None = "k-1", **members: Any) -> Answer:
    """An OS with this key, if it is not None."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"order_submission": order(**members)}
    return channel.send("POST", "/locations/fake.one/order_submissions", json=body, headers=headers)


def told(answer: Answer) -> object:
    return answer.order["order_id"] if answer.status == 200 else answer.error["code"]


NAMES: dict[str, Callable[[Channel], dict[str, Any]]] = {
    "a key": lambda _: {"key": "k-1"},
    "a key and a number": lambda _: {"key": "k-1", "order_number": "n-1"},
    "a key and a validation id": lambda channel: {
        "key": "k-1",
        "metadata": channel.validate("fake.one").order["metadata"],
    },
    "a validation id": lambda channel: {"key": None, "metadata": channel.validate("fake.one").order["metadata"]},
}


@pytest.mark.rule("SUB-2", "SUB-3", "SUB-4", "META-7", "META-8")
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", [[], ["lost"], ["refused", "made"], ["refused", "lost"]], ids=" ".join)
def test_the_same_submission_is_one_order(host: Host, change: str, names: str, first: list[str]) -> None:
    before, after = map(host, CHANGES[change])
    given = NAMES[names](before)
    CookingAdapter.script += first
    answers = [told(send(before, **given)) for _ in first or ["made"]]

    again = send(after, **given)

    assert (told(again), again.headers.get("Idempotency-Replayed")) == (CookingAdapter.made[0], "true")
    assert answers[-1] in (CookingAdapter.made[0], "outcome_unknown")
    # It is known under the new keys from now on, and under the old ones still.
    assert [told(send(each, **given)) for each in (after, before)] == [CookingAdapter.made[0]] * 2
    assert len(CookingAdapter.made) == 1


@pytest.mark.rule("SUB-2", "SUB-3", "SUB-4")
@pytest.mark.parametrize("names", NAMES)
def test_hosts_without_a_common_key_share_submissions(host: Host, names: str) -> None:
    one, other = host(OLD), host(NEW)
    given = NAMES[names](one)
    CookingAdapter.script += ["refused", "refused", "lost"]

    assert [told(send(each, **given)) for each in (one, other, one)] == [*["item_unavailable"] * 2, "outcome_unknown"]

    assert [told(send(each, **given)) for each in (other, one, other)] == ["A-1"] * 3
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-2", "SUB-3", "SUB-5")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", ["made", "lost"])
@pytest.mark.parametrize("name", ["order_number", "grubhub_order_number"])
def test_a_number_alone_is_never_a_second_order(
    host: Host, change: str, first: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has the database could find a short number by trying, and then the content: it is not digested with it."""
    before, after = map(host, CHANGES[change])
    CookingAdapter.script.append(first)
    send(before, None, **{name: "17"})

    again = send(after, None, **{name: "17"})

    if change in SHARED:
        assert told(again) == "A-1"
    else:
        assert again.refusal[:2] == (504, "outcome_unknown")
        (record,) = [each for each in caplog.records if each.getMessage() == "secret_key_missing"]
        assert "LEVELUP_OV_SECRET_KEYS" in vars(record)["remedy"]
        # The key is back.
        assert told(send(host(",".join(CHANGES[change])), None, **{name: "17"})) == "A-1"
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-4")
@pytest.mark.parametrize("change", CHANGES)
def test_another_order_under_the_same_key_is_refused(host: Host, change: str) -> None:
    before, after = map(host, CHANGES[change])
    assert told(send(before)) == "A-1"
    assert send(after, items=[item("sandwich", quantity=2)]).refusal[:2] == (422, "idempotency_key_reused")
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-4", "SUB-5")
def test_a_number_of_an_order_with_another_key_is_not_compared(host: Host) -> None:
    assert told(send(host(OLD), "k-1", order_number="17")) == "A-1"
    assert send(host(NEW), "k-2", order_number="17").refusal[:2] == (504, "outcome_unknown")
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("META-8")
def test_an_id_that_nothing_was_submitted_with_is_absent(host: Host) -> None:
    metadata = host(OLD).validate("fake.one").order["metadata"]
    channel = host(NEW)
    assert told(send(channel, None, metadata=metadata)) == "A-1"
    # It is not what this one was recognized by.
    assert told(send(channel, None, metadata=metadata, items=[item("sandwich", quantity=2)])) == "A-2"


@pytest.mark.rule("STAT-1")
@pytest.mark.parametrize("change", CHANGES)
def test_the_status_is_found_by_the_key(host: Host, change: str) -> None:
    before, after = map(host, CHANGES[change])
    assert told(send(before)) == "A-1"
    answer = after.get("/locations/fake.one/orders/A-1", **{"Idempotency-Key": "k-1"})
    assert answer.order["status"] == "preparing"
