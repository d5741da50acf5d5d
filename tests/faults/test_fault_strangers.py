"""What is answered late, twice or for somebody else makes no guest's order another's (SUB-8, SUB-9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scripted import scripted_service

ADA = {"name": "Ada Example", "phone": "+16175550101", "email": "ada@example.com"}
BOB = {"name": "Bob Example", "phone": "+16175550102", "email": "bob@example.com"}


@pytest.mark.rule("SUB-8")
def test_a_late_cart_of_another_is_not_ordered(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("cart", "doubled, late")
        ada = one.validate(user=ADA)
        # Bob's validation is answered with Ada's cart, on the connection that both use.
        bob = one.validate(user=BOB)
        # What Bob was shown is the price of another cart: he is asked again.
        shown = bob.body["order_validation"]["metadata"]
        assert one.submit(key=BOB["email"], user=BOB, metadata=shown).code == "price_changed"
        for user, answer in ((BOB, one.validate(user=BOB)), (ADA, ada)):
            metadata = answer.body["order_validation"]["metadata"]
            assert one.submit(key=user["email"], user=user, metadata=metadata).status == 200
        assert sorted(each.marker for each in one.cooked()) == [ADA["phone"], BOB["phone"]]


@pytest.mark.rule("SUB-8")
def test_a_cart_swapped_within_a_submission_is_not_ordered(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        metadata = one.validate(user=ADA).body["order_validation"]["metadata"]
        one.script.add("cart", "another guest's")
        answer = one.submit(key="b", user=BOB)
        reported = [answer.order_id] if answer.status == 200 else []
        assert [(each.marker, each.ticket) for each in one.cooked()] == [(BOB["phone"], ticket) for ticket in reported]
        assert one.submit(key="a", user=ADA, metadata=metadata).status == 200
        assert one.submit(key="b", user=BOB).status == 200
        assert sorted(each.marker for each in one.cooked()) == [ADA["phone"], BOB["phone"]]
