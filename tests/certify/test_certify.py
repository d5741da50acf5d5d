"""The certifier passes on our own service, and names what a wrong server breaks by its rule."""

from __future__ import annotations

import io
import json
import re
from collections import Counter

import pytest
from flask import Flask
from werkzeug.wrappers import Request, Response

from levelup_ov.certify import CannotRun, Plan, RunResult, run
from levelup_ov.certify.report import UNSEEN
from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.domain.secret import Secret
from tests.certify.contract_data import DATA, PAGE, contract_data
from tests.certify.serving import serving
from tests.certify.wrong import WRONG, Wrong, error
from tests.channel import Clock

KEY = Secret(DEVELOPMENT_API_KEY)


def certify(address: str, *locations: str, submit: bool = True, key: Secret = KEY, requests: int = 1500) -> RunResult:
    return run(Plan(address, key, locations, submit, requests), clock=Clock())


def failed(outcome: RunResult) -> dict[str, list[str]]:
    """The rules that something breaks, with what."""
    found: dict[str, list[str]] = {}
    for check in outcome.report.checks.values():
        if check.failures:
            found.setdefault(check.rule, []).append(f"{check.title}: {check.failures[0].detail}")
    return found


@pytest.fixture(scope="module")
def everything(service: str) -> RunResult:
    return certify(service)


def test_what_is_shipped_of_the_contract_is_what_the_page_says() -> None:
    shipped = json.loads(DATA.read_text(encoding="utf-8"))
    drawn = contract_data(PAGE.read_text(encoding="utf-8"))
    assert shipped == drawn, "run python -m tests.certify.contract_data"
    assert set(drawn["rules"]) == set(re.findall(r"^\.\. _([A-Z]+-\d+):$", PAGE.read_text("utf-8"), re.MULTILINE))


def test_our_own_service_passes_at_every_location_of_the_sandbox(everything: RunResult) -> None:
    assert failed(everything) == {}
    assert everything.stopped is None and everything.left_out == 0
    assert len(everything.places) == 7


def test_every_rule_is_checked_or_says_why_not(everything: RunResult) -> None:
    unchecked = {rule.id for rule, result, _, _ in everything.report.by_rule() if result == "not applicable"}
    assert unchecked <= {*UNSEEN, "MONEY-9"}
    for _, _, checks, reason in everything.report.by_rule():
        assert checks or reason
        assert all(check.reasons for check in checks if check.result == "not applicable")


def test_three_orders_are_placed_at_each_location_and_listed(everything: RunResult) -> None:
    assert Counter(location for location, _ in everything.report.orders) == dict.fromkeys(everything.places, 3)
    assert len(set(everything.report.orders)) == len(everything.report.orders)


def test_without_submit_nothing_is_ordered(sound: Flask) -> None:
    asked: list[str] = []

    def listening(environ, start_response):  # type: ignore[no-untyped-def]
        asked.append(environ["PATH_INFO"])
        return sound(environ, start_response)

    with serving(listening) as address:
        outcome = certify(address, "sandbox.congress", "sandbox.card", submit=False)
    assert outcome.report.orders == []
    assert not any("order_submissions" in path for path in asked)
    reasons = {rule.id: reason for rule, _, _, reason in outcome.report.by_rule() if reason}
    assert reasons["SUB-2"] == reasons["EP-5"] == "orders are placed only with --submit"


def test_a_card_is_sent_only_where_levelup_is_not_taken(sound: Flask) -> None:
    paid: Counter[str] = Counter()

    def listening(environ, start_response):  # type: ignore[no-untyped-def]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        paid[environ["PATH_INFO"].removesuffix("/order_submissions")] += b"4111111111111111" in body
        return sound(environ, start_response)

    with serving(listening) as address:
        certify(address, "sandbox.congress", "sandbox.card")
    assert {path for path, times in paid.items() if times} == {"/locations/sandbox.card"}


@pytest.mark.parametrize("fault", WRONG)
def test_a_seeded_fault_is_named_by_its_rule(sound: Flask, fault: str) -> None:
    wrong = WRONG[fault]
    with serving(wrong.around(sound.wsgi_app)) as address:
        outcome = certify(address, wrong.location)
    assert set(failed(outcome)) == wrong.rules, failed(outcome)


def test_a_wrapper_that_changes_nothing_is_sound(sound: Flask) -> None:
    with serving(Wrong(frozenset()).around(sound.wsgi_app)) as address:
        assert failed(certify(address, "sandbox.congress")) == {}


@pytest.mark.rule("EP-4")
def test_a_location_without_orders_is_reported_not_a_violation(sound: Flask) -> None:
    def closed(request: Request) -> Response | None:
        return error("location_closed") if request.path.endswith("sandbox.day/order_validations") else None

    with serving(Wrong(frozenset(), instead=closed).around(sound.wsgi_app)) as address:
        both, alone = certify(address, "sandbox.day", "sandbox.congress"), certify(address, "sandbox.day")
    assert failed(both) == {}
    assert both.report.refusals() == {"sandbox.day": "422 location_closed no"}
    assert set(failed(alone)) == {"EP-4"}


def test_the_run_ends_where_its_limit_is_reached(service: str) -> None:
    outcome = certify(service, requests=40)
    assert outcome.requests == 40
    assert outcome.stopped == "the limit of 40 requests or 900 seconds is reached"


@pytest.mark.parametrize(
    ("address", "key", "locations", "words"),
    [
        ("http://127.0.0.1:9", KEY, (), "cannot be reached"),
        (None, Secret("another-key"), (), "does not accept this key"),
        (None, KEY, ("sandbox.nowhere",), "has no location sandbox.nowhere"),
    ],
)
def test_what_cannot_be_run_says_why(
    service: str, address: str | None, key: Secret, locations: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CannotRun, match=words):
        certify(address or service, *locations, key=key)
