"""A submission is also recognized by what the ledger's own key digests, whatever the secret keys are (META-7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.ledger.identity import Kind, content_digests, identities, reference_of, with_kept
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claimed, Incomparable, NeverSent, Reused, Unknown
from tests.ledger.helpers import GRACE, LEASE, LOCATION, Clock, begin, claimed, place, shown

KEPT = b"the key that the ledger keeps..."
OLD, NEW = (b"an old key of these tests.......",), (b"a new key of these tests........",)
LONG: tuple[Kind, ...] = ("idempotency_key", "order_validation_id")


def claim(
    ledger: Ledger, keys: tuple[bytes, ...] = NEW, what: bytes = b"a burger", *, kept: bool = True, **names: str
) -> Any:
    """Claim as the service does; not ``kept``: as the release before does."""
    given: dict[Any, Any] = names or {"idempotency_key": "k-1"}
    found = identities(LOCATION, content=what, keys=keys, **given)
    return ledger.claims.claim(
        account="deli",
        location=LOCATION,
        identities=with_kept(found, LOCATION, KEPT, given, what) if kept else found,
        content=content_digests(LOCATION, what, keys),
        lease=LEASE,
        reference=reference_of(LOCATION, key=lambda: KEPT, **given),
    )


@pytest.mark.rule("SUB-3", "SUB-4")
@pytest.mark.parametrize("kind", LONG)
def test_what_was_placed_is_found_without_a_common_key(ledger: Ledger, kind: Kind) -> None:
    place_it(ledger, claim(ledger, OLD, **{kind: "x"}))
    assert isinstance(claim(ledger, NEW, **{kind: "x"}), AlreadyPlaced)
    # Then under the new key, for a worker that knows no other.
    assert isinstance(claim(ledger, NEW, kept=False, **{kind: "x"}), AlreadyPlaced)
    assert isinstance(claim(ledger, NEW, b"two burgers", **{kind: "x"}), Reused)


@pytest.mark.rule("SUB-3", "SUB-4")
@pytest.mark.parametrize(
    "names", [{"order_number": "17"}, {"grubhub_order_number": "17"}, {"order_number": "17", "idempotency_key": "k-2"}]
)
def test_by_a_number_alone_nothing_is_compared(ledger: Ledger, names: dict[str, str]) -> None:
    place_it(ledger, claim(ledger, OLD, idempotency_key="k-1", order_number="17", grubhub_order_number="17"))
    for what in (b"a burger", b"two burgers"):
        assert isinstance(claim(ledger, NEW, what, **names), Incomparable)
    assert isinstance(claim(ledger, OLD, b"two burgers", **names), Reused)
    assert isinstance(claim(ledger, (*NEW, *OLD), **names), AlreadyPlaced)
    # Now it is known what it is, under both.
    assert isinstance(claim(ledger, NEW, **names), AlreadyPlaced)


@pytest.mark.rule("SUB-4", "SUB-11")
def test_an_attempt_that_was_refused_is_followed(ledger: Ledger) -> None:
    first = claim(ledger, OLD)
    begin(ledger, first.id)
    ledger.transitions.fail(first.id, "refused")
    second = claim(ledger, NEW)
    assert (second.generation, second.previous) == (1, first.id)
    place_it(ledger, second)
    # The first one's identities all lead to it, and its content can be compared under each key.
    assert isinstance(claim(ledger, OLD, kept=False), AlreadyPlaced)
    assert isinstance(claim(ledger, OLD), AlreadyPlaced)


@pytest.mark.rule("SUB-4", "SUB-11")
def test_what_was_ruled_out_keeps_its_reference(ledger: Ledger, clock: Clock) -> None:
    first = claim(ledger, OLD)
    begin(ledger, first.id)
    ledger.transitions.lose(first.id)
    assert isinstance(claim(ledger, NEW), Unknown)
    row = shown(ledger, first.id)
    assert ledger.absences.remaining(row, grace=GRACE) > timedelta(0)
    clock.advance(GRACE)
    ledger.absences.rule_out(row, grace=GRACE)
    again = claim(ledger, NEW)
    assert (again.generation, again.reference) == (0, first.reference)


@pytest.mark.rule("SUB-3")
def test_releases_find_each_others_submissions(ledger: Ledger) -> None:
    place_it(ledger, claim(ledger, OLD, kept=False))
    assert isinstance(claim(ledger, OLD), AlreadyPlaced)
    assert isinstance(claim(ledger, NEW), AlreadyPlaced)
    place_it(ledger, claim(ledger, OLD, idempotency_key="k-2"))
    assert isinstance(claim(ledger, OLD, kept=False, idempotency_key="k-2"), AlreadyPlaced)


@pytest.mark.rule("SUB-4")
def test_an_outcome_is_returned_without_a_claim(ledger: Ledger) -> None:
    def recall() -> Any:
        return ledger.claims.claim(
            account="deli", location=LOCATION, identities=identities(LOCATION, content=b"", keys=OLD, order_number="1"),
            content=content_digests(LOCATION, b"a burger", OLD), lease=LEASE, claims=False,
        )  # fmt: skip

    with pytest.raises(NeverSent):
        recall()
    assert ledger.reader.find() == ()
    got = claim(ledger, OLD, order_number="1")
    begin(ledger, got.id)
    ledger.transitions.lose(got.id)
    assert isinstance(recall(), Unknown)
    place(ledger, got.id)
    assert isinstance(recall(), AlreadyPlaced)
    refused = claim(ledger, OLD, order_number="2")
    ledger.transitions.fail(refused.id)
    assert len(ledger.reader.find()) == 2


@pytest.mark.rule("SUB-3")
@given(st.lists(st.tuples(st.sampled_from(LONG), st.text("abc"), st.binary()), min_size=2, max_size=2, unique=True))
def test_the_contents_digest_needs_what_the_database_has_not(cases: list[tuple[Kind, str, bytes]]) -> None:
    """Kind, value and content: none of them can be tried alone."""
    one, other = (
        with_kept(identities(LOCATION, content=b"", keys=NEW, **{kind: value}), LOCATION, KEPT, {kind: value}, what)  # type: ignore[arg-type]
        for kind, value, what in cases
    )
    assert one[0].kept_content != other[0].kept_content


@pytest.mark.rule("SUB-3")
def test_no_content_is_digested_with_a_number() -> None:
    names: dict[Any, Any] = {"order_number": "17", "grubhub_order_number": "1", "idempotency_key": "17"}
    found = with_kept(identities(LOCATION, content=b"c", keys=NEW, **names), LOCATION, KEPT, names, b"c")
    assert {each.kind for each in found if each.kept_content is not None} == {"idempotency_key"}
    assert all(each.kept for each in found)


def place_it(ledger: Ledger, got: Any) -> None:
    assert isinstance(got, Claimed)
    begin(ledger, claimed(got))
    place(ledger, got.id)
