"""An operator finishes orders of web checkout in the console."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

import pytest

from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal
from tests.checkout.test_checkout_interrupted import LATER, kill_after_cancel
from tests.checkout.test_checkout_money import REFUSED, ledger_of, refusal
from tests.console.conftest import KEYS, VARIABLES, Operator


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site of a service with its console."""
    return make_site(**VARIABLES)


def signed_in(site: Site, name: str) -> Operator:
    operator = Operator(site.app)
    assert operator.sign_in(KEYS[name]).status_code == 303
    return operator


@pytest.mark.rule("WEB-3")
def test_an_operator_gives_a_charge_back_and_it_is_recorded(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.line.faults["/refund"] = ["unreached"]
    assert site.charge(meal(merchant, user, note=REFUSED), "K").error["code"] == "refund_pending"
    (uuid,) = site.unrefunded()
    olive, rita = signed_in(site, "olive"), signed_in(site, "rita")
    id = site.get(f"/orders/{uuid}")["order"]["id"]
    page = f"/checkout/{id}/reconcile"
    assert f'href="/console{page}"' in olive.open(f"/checkout/{uuid}").text
    # A reader gets an explanation, with or without somebody else's form.
    assert "Your key may only read" in rita.open(f"/checkout/{id}").text
    form = olive.token(page)
    assert [rita.open(page).status_code, rita.send(page, form=form).status_code] == [403, 403]
    assert olive.send(page, form="forged").status_code == 403
    assert site.unrefunded() == [uuid]
    with caplog.at_level(logging.INFO):
        assert olive.send(page, form=form).status_code == 303
    assert (site.unrefunded(), site.refunded()) == ([], [uuid])
    after = olive.open(f"/checkout/{id}").text
    assert "Reconciled by olive" in after and "refunded; request" in after
    assert "order_reconciled_in_console" in caplog.messages
    # It is done: there is no button, and the form does nothing any more.
    assert page not in after
    assert olive.send(page, form=form).status_code == 409
    assert olive.open(f"/checkout/{id}").text.count("Reconciled by olive") == 1


@pytest.mark.rule("STAT-7")
def test_an_operator_finishes_a_cancellation(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    uuid = site.charged(meal(merchant, user))["uuid"]
    kill_after_cancel(site, uuid, monkeypatch)
    id = site.get(f"/orders/{uuid}")["order"]["id"]
    olive, page = signed_in(site, "olive"), f"/checkout/{id}/reconcile"
    assert "Cancellation begun" in olive.open(f"/checkout/{id}").text
    assert olive.send(page, form=olive.token(page)).status_code == 303
    assert "another request is processing this order" in olive.open(f"/checkout/{id}").text
    clock.set(LATER)
    site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")]
    assert olive.send(page, form=olive.token(page)).status_code == 303
    assert "its charge is not refunded yet" in olive.open(f"/checkout/{id}").text
    assert olive.send(page, form=olive.token(page)).status_code == 303
    assert site.refunded() == [uuid] and page not in olive.open(f"/checkout/{id}").text


@pytest.mark.rule("WEB-3")
def test_a_case_stays_one_and_says_why(site: Site, merchant: str, user: str) -> None:
    assert site.charge(meal(merchant, user, tip_amount=9901, note=REFUSED), "K").error["code"] == "refund_impossible"
    (uuid,) = site.unrefunded()
    id = site.get(f"/orders/{uuid}")["order"]["id"]
    # After 30 days the ledger has forgotten the charge, and the case is still there.
    with closing(sqlite3.connect(ledger_of(site))) as connection, connection:
        connection.execute("DELETE FROM submissions")
    olive = signed_in(site, "olive")
    page = f"/checkout/{id}/reconcile"
    form = olive.token(page)
    assert olive.send(page, form=form).status_code == 303
    assert "not finished: a person must settle it" in olive.open(f"/checkout/{id}").text
    again = olive.send(page, form=form)
    assert again.status_code == 409 and "sent before" in again.text
    assert site.unrefunded() == [uuid]
    assert signed_in(site, "rita").open("/checkout/none/reconcile").status_code == 403
    assert olive.open("/checkout/none/reconcile").status_code == 404
