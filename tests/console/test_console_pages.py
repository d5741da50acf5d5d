"""What the console shows: what needs attention, submissions and their lives, accounts, and web checkout."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import get_args

import pytest
from flask import Flask
from markupsafe import escape

from levelup_ov.blueprints.status import Result
from levelup_ov.checkout.failed_orders import case
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.console.needs import ADVICE
from levelup_ov.console.numbers import quantile
from levelup_ov.console.timeline import of_submission
from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.checkout import CaseKind
from levelup_ov.ledger.browsing import Life, ReadingDatabase
from levelup_ov.ledger.engine import LedgerUnavailable, upgrade
from levelup_ov.ledger.event_deliveries import Waiting
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.metrics import METRICS
from levelup_ov.ordering.service import Service
from levelup_ov.transport.session import Call
from tests.channel import CARD, USER, Channel
from tests.checkout.site import VARIABLES as CHECKOUT
from tests.console.conftest import KEYS, VARIABLES, Operator
from tests.ledger.helpers import LOCATION, begin, claim, claimed, place
from tests.servers.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "\N{HAMBURGER}" * 40, "x" * 5000, "'\"><img src=x onerror=a>")


def ledger_of(app: Flask) -> Ledger:
    service: Service = app.extensions["levelup_ov"]
    return service.submissions.ledger


def lost(ledger: Ledger, name: str = "lost") -> str:
    """The id of a submission of an account that is not configured, whose outcome is unknown."""
    id = claimed(claim(ledger, name.encode(), idempotency_key=name))
    begin(ledger, id)
    ledger.transitions.lose(id)
    return id


def test_a_quiet_service_needs_no_person(olive: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    # A ledger that takes longer is reported; a busy machine is no reason here.
    monkeypatch.setattr("levelup_ov.blueprints.status.PATIENCE", 60)
    page = olive.open().text.partition('<section aria-labelledby="needs">')[2]
    assert "Nothing needs anybody now" in page[:2000] and "No submission is open" in page
    assert "There is no submission yet" in olive.open("/submissions").text


def test_what_needs_somebody_is_at_the_top(console: Flask, olive: Operator) -> None:
    ledger, metrics = ledger_of(console), console.extensions[METRICS]
    lost(ledger), lost(ledger, "another")
    for kind in ("order_exists_but_ruled_out", "card_may_be_charged"):
        id = claimed(claim(ledger, kind.encode(), idempotency_key=kind))
        ledger.transitions.fail(id)
        ledger.findings.note(id, kind)  # type: ignore[arg-type]
    paid = claimed(claim(ledger, b"paid", idempotency_key="paid"))
    begin(ledger, paid)
    ledger.transitions.place(
        paid, answer="{}", order_id=7, provider_order_id="p-7", expected_charge=700, charged=701, proven=True
    )
    for outcome in ("provider_credentials_refused", "menu_invalid"):
        metrics.request("validate_order", outcome, "sandbox", 0.1, [])
    metrics.event("submission_restored_to_ledger")
    page = olive.open().text
    needed = page[: page.index("Unsettled")]
    for kind in ("unknown", "charge_mismatch", "order_exists_but_ruled_out", "card_may_be_charged", "menu_invalid",
                 "provider_credentials_refused", "event"):  # fmt: skip
        assert str(escape(ADVICE[kind].title)) in needed, kind
        assert f'href="https://docs.example/ov/{ADVICE[kind].guide}"' in needed
    assert "deli: 2, the oldest for" in needed and "submission_restored_to_ledger: 1" in needed
    assert olive.open("/submissions", number="p-7").headers["Location"].endswith(paid)
    assert olive.open("/submissions", findings="1").text.count("<code>01") == 3


def test_open_breakers_and_unread_locations_are_named(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = console.extensions[METRICS]
    found = {
        ("levelup_ov_breakers_open", "sandbox"): 2.0,
        ("levelup_ov_location_unread", "sandbox", "sandbox.harbor", "provider_timeout"): 1.0,
    }
    monkeypatch.setattr(metrics, "_sample", lambda: found)
    page = olive.open().text
    assert ADVICE["breaker"].title in page and "sandbox: 2 of all workers" in page
    assert "sandbox.harbor: provider_timeout" in page
    assert "2 open" in olive.open("/accounts").text


def test_a_ledger_that_is_down_is_named_and_the_rest_stays(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(ReadingDatabase, "read", fail)
    monkeypatch.setattr("levelup_ov.ledger.ledger.Ledger.ready", fail)
    page = olive.open()
    assert page.status_code == 200
    assert (
        ADVICE["ledger"].title in page.text
        and "the disk is full" in page.text
        and "The ledger did not answer" in page.text
    )
    slow = olive.open("/submissions")
    assert slow.status_code == 503 and "Narrow the search" in slow.text


def test_a_reconciliation_that_does_not_run_is_noticed(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(console)
    row = ledger.reader.show(lost(ledger))
    assert row is not None
    ledger.absences.rule_out(row, grace=timedelta(0), fenced=True)
    assert ADVICE["late"].title not in olive.open().text
    later = time.time_ns() + 7 * 60 * 10**9
    monkeypatch.setattr("levelup_ov.ledger.clocks.time.time_ns", lambda: later)
    assert "1 that were not placed are due" in olive.open().text


def test_a_refused_order_that_cannot_be_looked_up_needs_nobody(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command tries again for a day, and exits with 0."""
    ledger = ledger_of(console)
    begin(ledger, id := claimed(claim(ledger, idempotency_key="a")))
    ledger.transitions.fail(id, "refused")
    now = time.time_ns()
    for hours, needs_somebody in ((23, False), (25, True)):
        later = now + hours * 3600 * 10**9
        monkeypatch.setattr("levelup_ov.ledger.clocks.time.time_ns", lambda later=later: later)
        assert (ADVICE["late"].title in olive.open().text) == needs_somebody


def test_events_that_are_not_delivered_are_named(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, soon = timedelta(minutes=11), timedelta(minutes=1)
    outbox = [
        Waiting("channel", "waiting", 3, late),
        Waiting("shop", "waiting", 4, soon),
        Waiting("bell", "parked", 5, soon),
    ]
    monkeypatch.setattr(
        "levelup_ov.blueprints.status.SharedCheck.result", lambda _: Result(None, "ok", 0.1, ((), outbox))
    )
    page = olive.open().text
    assert ADVICE["outbox"].title in page and "channel: 3 waiting, the oldest for 11 min" in page
    assert "bell: 5 parked" in page and "shop: 4" not in page


def paragraph(guide: str) -> str:
    """The text of the docs that a link to the guide leads to; empty if there is none."""
    name, _, anchor = guide.partition("#")
    page = (ROOT / "docs" / name.replace(".html", ".rst")).read_text(encoding="utf-8")
    _, *parts = re.split(r"^(.+)\n(?:=|-)+$", page, flags=re.MULTILINE)
    anchors = [re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in parts[::2]]
    return dict(zip(anchors, parts[1::2], strict=True)).get(anchor, "")


def test_guide_links_lead_to_paragraphs_that_exist() -> None:
    for advice in ADVICE.values():
        assert paragraph(advice.guide), advice


def test_lists_are_paged_and_narrowed(console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.console.views.PAGE", 3)
    ledger = ledger_of(console)
    ids = sorted(claimed(claim(ledger, f"{n}".encode(), idempotency_key=f"{n}")) for n in range(8))
    for id in ids[:2]:
        ledger.transitions.fail(id)

    def listed(text: str) -> list[str]:
        return re.findall(r"<code>([0-9a-f-]{36})</code>", text)

    page, seen = olive.open("/submissions").text, []
    while True:
        seen += listed(page)
        following = re.search(r'href="/console(/submissions\?[^"]*)" rel="next"', page)
        if following is None:
            break
        page = olive.open(following[1].replace("&amp;", "&")).text
    assert seen == ids[::-1]
    assert "Newest" in page
    assert listed(olive.open("/submissions", state="not_placed").text) == ids[1::-1]
    assert listed(olive.open("/submissions", state="claimed", account="deli").text) == ids[:4:-1]
    assert listed(olive.open("/submissions", location=LOCATION).text) == ids[:4:-1]
    assert listed(olive.open("/submissions", account="other").text) == []
    assert "No submission matches" in olive.open("/submissions", since="2038-01-01T00:00").text
    assert "No submission matches" in olive.open("/submissions", until="2020-01-01T00:00Z").text
    assert olive.open("/submissions", number=ids[4]).headers["Location"] == f"/console/submissions/{ids[4]}"
    assert olive.open("/submissions", number="req-1").text.count("<code>") == 3
    for query in ({"state": "lost"}, {"since": "yesterday"}, {"below": "x"}, {"until": "9999-12-31T23:59-23:00"}):
        assert olive.open("/submissions", **query).status_code == 422


def test_an_outcome_is_unknown_after_it_was_sent(console: Flask) -> None:
    lost(ledger := ledger_of(console))
    (row,) = ledger.reader.find()
    assert row.sending_at

    # The time of the change is read off another clock.
    steps = of_submission(Life(row, None, None, None, (), (), ()), row.sending_at - timedelta(milliseconds=3))

    assert [step.title for step in steps] == ["Claimed", "Sending", "Outcome unknown"]


def test_one_submission_shows_its_whole_life(console: Flask, olive: Operator) -> None:
    channel, ledger = Channel(console), ledger_of(console)
    assert channel.submit(order_number="of the life").status == 200
    (row,) = ledger.reader.find()
    page = olive.open(f"/submissions/{row.id}").text
    for words in ("Claimed", "Sending", "Placed", row.owner, row.request_id, row.reference, f"order {row.order_id}"):
        assert str(words) in page
    assert page.index("Claimed") < page.index("Sending") < page.index("Placed")
    unknown = olive.open(f"/submissions/{lost(ledger)}").text
    assert "Outcome unknown" in unknown and "deli is not in the accounts file" in unknown
    assert unknown.index("Sending") < unknown.index("Outcome unknown")
    for id in ("x", "01a22712-c820-76ac-929c-d9f705bdd10b"):
        assert olive.open(f"/submissions/{id}").status_code == 404


@pytest.mark.rule("ERR-4", "PAY-2")
def test_no_page_shows_a_person_a_card_or_a_seal(console: Flask, olive: Operator) -> None:
    channel = Channel(console)
    metadata = channel.submit(credit_card=CARD).json
    assert channel.submit().status == 200
    ledger = ledger_of(console)
    pages = ["", "/submissions", "/accounts", *(f"/submissions/{row.id}" for row in ledger.reader.find())]
    shown = "".join(olive.open(page).text for page in pages)
    assert metadata and "sealed." not in shown
    for value in (*USER.values(), CARD["number"], CARD["cvv"] + "<", *KEYS.values(), "dev-key"):
        assert value not in shown


def test_hostile_texts_are_shown_as_text(console: Flask, olive: Operator) -> None:
    ledger = ledger_of(console)
    for number, text in enumerate(HOSTILE):
        id = claimed(claim(ledger, text.encode(), idempotency_key=f"k{number}"))
        begin(ledger, id)
        ledger.transitions.lose(id, trace={"cart": text[:400]})
        ledger.transitions.place(id, answer="{}", order_id=text, provider_order_id=text)
        for page in (olive.open(f"/submissions/{id}").text, olive.open("/submissions").text):
            assert "<script>alert" not in page and "<img" not in page
            assert str(escape(text)) in page


def test_an_operator_reconciles_and_it_is_recorded(console: Flask, olive: Operator, rita: Operator) -> None:
    channel, ledger = Channel(console), ledger_of(console)
    assert channel.submit(order_number="found later").status == 200
    (row,) = ledger.reader.find()
    with ledger.database.connection() as connection:
        connection.exec_driver_sql("UPDATE submissions SET state = 'unknown', settled_at = NULL, answer = NULL")
    page = olive.open(f"/submissions/{row.id}").text
    assert f'href="/console/submissions/{row.id}/reconcile"' in page
    form = olive.token(f"/submissions/{row.id}/reconcile")
    # A reader gets an explanation, with or without somebody else's form.
    assert "Your key may only read" in rita.open(f"/submissions/{row.id}").text
    assert rita.open(f"/submissions/{row.id}/reconcile").status_code == 403
    assert rita.send(f"/submissions/{row.id}/reconcile", form=form).status_code == 403
    assert olive.send(f"/submissions/{row.id}/reconcile", form=form).status_code == 303
    found = ledger.reader.show(row.id)
    assert found is not None and found.state == "placed" and found.settled_by is None
    after = olive.open(f"/submissions/{row.id}").text
    assert "Reconciled by olive" in after and f"placed, order {row.order_id}" in after
    assert olive.send(f"/submissions/{row.id}/reconcile", form=form).status_code == 409


def test_a_form_that_was_sent_before_does_nothing(console: Flask, olive: Operator) -> None:
    channel, ledger = Channel(console), ledger_of(console)
    assert channel.submit().status == 200
    (row,) = ledger.reader.find()
    forget = "UPDATE submissions SET state = 'unknown', settled_at = NULL, answer = NULL, reference = 'none such'"
    with ledger.database.connection() as connection:
        connection.exec_driver_sql(forget)
    path = f"/submissions/{row.id}/reconcile"
    form = olive.token(path)
    assert olive.send(path, form=form).status_code == 303
    assert olive.open(f"/submissions/{row.id}").text.count("Reconciled by olive") == 1
    again = olive.send(path, form=form)
    assert again.status_code == 409 and ("sent before" in again.text or "nothing to reconcile" in again.text)
    assert olive.open(f"/submissions/{row.id}").text.count("Reconciled by olive") == 1
    # Nor does a form for another submission.
    assert olive.send(f"/submissions/{lost(ledger)}/reconcile", form=form).status_code == 403


def test_accounts_show_the_last_hour(console: Flask, olive: Operator) -> None:
    metrics = console.extensions[METRICS]
    calls = [Call("GET", "/x", status, 300, None) for status in (200, 200, 404, 503)]
    calls.append(Call("GET", "/x", None, 9000, "provider_timeout"))
    for _ in range(10):
        metrics.request("validate_order", "ok", "sandbox", 0.1, calls)
    row = re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", olive.open("/accounts").text, re.DOTALL)
    assert row[:5] == ["50", "0.41 s", "8.75 s", "10", "20 (40.0 %)"]
    assert row[5].startswith("0 of ") and "closed" in row[6]


@pytest.mark.parametrize(
    ("counts", "expected"), [((0, 0, 0), None), ((10, 0, 0), 0.5), ((5, 5, 0), 1.0), ((0, 0, 3), float("inf"))]
)
def test_half_of_the_calls_are_faster(counts: tuple[int, ...], expected: float | None) -> None:
    assert quantile(0.5, counts, (1.0, 2.0)) == expected


def order_of_checkout(number: int, **members: object) -> StoredOrder:
    order = StoredOrder(
        id=f"01a22712-c820-76ac-929c-{number:012x}", state="charged", merchant="m", user="u", location_id=42,
        proposed_uuid="p", spend=1000, tax=60, exemption=0, tip=150, discount=100, created_at=1_790_000_000_000,
        uuid=f"uuid-{number}", total=1150,
    )  # fmt: skip
    return replace(order, **members)  # type: ignore[arg-type]


def test_orders_of_web_checkout_are_shown(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.console.checkout_pages.PAGE", 2)
    app = make_app(**VARIABLES, **CHECKOUT)
    store = CheckoutStore(ledger_of(app).database)
    refused = case("refund_refused", "LevelUp <refuses> it")
    settled = '{"by": "Olive", "why": "by transfer", "at": "2026-11-29T10:00:00+00:00", "case": {}}'
    for order in (
        order_of_checkout(1),
        order_of_checkout(2, state="stuck", operator_case=refused, problem='{"code": "c", "message": "closed"}'),
        order_of_checkout(3, state="refunded", refunded_at=1_790_000_100_000),
        order_of_checkout(4, state="settled", settled=settled),
    ):
        store.add_order(order)
    olive = Operator(app)
    olive.sign_in(KEYS["olive"])
    assert "LevelUp &lt;refuses&gt; it" in olive.open().text
    page = olive.open("/checkout").text
    assert page.index("-000000000004") < page.index("-000000000003")
    following = re.search(r'href="/console(/checkout\?[^"]*)" rel="next"', page)
    assert following is not None and "-000000000001" in olive.open(following[1]).text
    assert "No order is submitting" in olive.open("/checkout", state="submitting").text
    shown = olive.open(f"/checkout/{order_of_checkout(2).id}").text
    assert "c: closed" in shown and ADVICE["refund_refused"].title not in shown and "$11.50" in shown
    assert "2026-09-21 14:15:00" in olive.open("/checkout/uuid-3").text
    assert "Settled by Olive" in olive.open("/checkout/uuid-4").text
    assert olive.open("/checkout/none").status_code == 404


TO_BE_PAID_BACK = {"refund_refused", "refunded_in_part", "refund_unproven"}


@pytest.mark.rule("EVT-8")
@pytest.mark.parametrize("kind", get_args(CaseKind))
def test_a_case_is_shown_with_what_the_mail_says(make_app: Callable[..., Flask], kind: CaseKind) -> None:
    app = make_app(**VARIABLES, **CHECKOUT)
    order = order_of_checkout(1, operator_case=case(kind, "what was found"))
    if kind == "canceled_not_refunded":
        order = order_of_checkout(1, state="submitted", called_off_at=1_790_000_100_000)
    CheckoutStore(ledger_of(app).database).add_order(order)
    olive = Operator(app)
    olive.sign_in(KEYS["olive"])
    for path in ("", f"/checkout/{order.id}"):
        page = olive.open(path).text
        shown = unescape(re.sub("<[^>]+>", "", page))
        assert REMEDIES[kind].replace("`", "")[1:] in shown
        assert ("give the money back" in shown or "give back the rest" in shown) == (kind in TO_BE_PAID_BACK)
        (guide,) = set(re.findall(r'href="https://docs.example/ov/([^"]*)"', page))
        assert f"``{kind}``" in paragraph(guide)


def test_a_case_that_another_release_recorded_is_shown(make_app: Callable[..., Flask]) -> None:
    app = make_app(**VARIABLES, **CHECKOUT)
    later = '{"kind": "of_tomorrow", "message": "what was found"}'
    CheckoutStore(ledger_of(app).database).add_order(order_of_checkout(1, operator_case=later))
    olive = Operator(app)
    olive.sign_in(KEYS["olive"])
    for path in ("", f"/checkout/{order_of_checkout(1).id}"):
        page = olive.open(path).text
        assert "what was found" in page and ADVICE["case"].guide in page


def test_an_internal_error_is_a_page_with_its_request(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelup_ov.ledger.browsing.Browser.page", lambda *_: 1 / 0)
    answer = olive.open("/submissions")
    assert answer.status_code == 500 and answer.headers["X-Request-ID"] in answer.text


def test_on_postgresql_the_pages_are_the_same(make_app: Callable[..., Flask], postgres: PostgresServer) -> None:
    url = postgres.url(postgres.create_database())
    upgrade(url)
    app = make_app(**VARIABLES, **CHECKOUT, DATABASE_URL=url)
    ledger, olive = ledger_of(app), Operator(app)
    olive.sign_in(KEYS["olive"])
    unknown = lost(ledger)
    CheckoutStore(ledger.database).add_order(order_of_checkout(1))
    assert "deli: 1, the oldest for" in olive.open().text
    for page in ("/submissions", f"/submissions/{unknown}", "/checkout", "/checkout/uuid-1"):
        assert olive.open(page).status_code == 200, page
    for query in ({"number": "a\0b"}, {"location": "\0"}, {"account": "x" * 3000}):
        assert olive.open("/submissions", **query).status_code == 200, query
    # As any path that is no page's.
    assert olive.open("/checkout/%00").status_code == olive.open("/nothing/here").status_code == 401
    app.extensions["levelup_ov.console"].database.close()
    ledger.close()


def test_attempts_at_one_order_lead_to_one_another(console: Flask, olive: Operator) -> None:
    ledger = ledger_of(console)
    first = claimed(claim(ledger, idempotency_key="same"))
    ledger.transitions.fail(first)
    second = claimed(claim(ledger, idempotency_key="same"))
    begin(ledger, second)
    place(ledger, second)
    assert f"/submissions/{second}" in olive.open(f"/submissions/{first}").text
    assert f"/submissions/{first}" in olive.open(f"/submissions/{second}").text
