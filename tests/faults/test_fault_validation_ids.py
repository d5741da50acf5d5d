"""The id that a validation gives out and its submission brings back (META-8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scripted import ScriptedService, scripted_service

LOCATION = "diner.congress"


def _recognized(one: ScriptedService, metadata: dict[str, str], location: str = LOCATION) -> bool:
    """Whether an order is known by the id: another order under it is refused then."""
    assert one.submit(location, metadata=metadata, special_instructions="first").status == 200
    answer = one.submit(location, metadata=metadata, special_instructions="second")
    assert answer.code in ("", "idempotency_key_reused")
    return answer.status != 200


@pytest.mark.rule("META-8")
def test_every_validation_gives_a_fresh_id(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        ids = [one.validation_id()["order_validation_id"] for _ in range(3)]
        assert len(set(ids)) == 3
        for each in ids:
            assert not one.submit(metadata={"order_validation_id": each}).replayed
        assert len(one.cooked()) == 3


@pytest.mark.rule("META-8", "SUB-3")
def test_it_makes_the_submission_recognizable_without_any_key(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        metadata = one.validation_id()
        first = one.submit(metadata=metadata)
        one.clock.advance(days=3)
        again = one.submit(metadata=metadata)
        assert (again.replayed, again.body) == (True, first.body)
        assert len(one.cooked()) == 1
        assert _recognized(one, one.validation_id())


@pytest.mark.rule("META-8")
def test_it_counts_as_absent_at_another_location(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        metadata = one.validation_id(LOCATION)
        assert not _recognized(one, metadata, "diner.notips")
        # At its own location it is still unused.
        assert not one.submit(metadata=metadata).replayed


@pytest.mark.rule("META-8")
@pytest.mark.parametrize("position", [10, 40, -1])
def test_it_counts_as_absent_where_a_character_was_changed(position: int, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        found = list(one.validation_id()["order_validation_id"])
        # The last character of base64 may carry two bits only: the one before it is whole.
        position = position if position > 0 else len(found) - 2
        found[position] = "A" if found[position] != "A" else "B"
        assert not _recognized(one, {"order_validation_id": "".join(found)})


@pytest.mark.rule("META-8", "META-9")
@pytest.mark.parametrize("made_up", ["", "abc", "sealed.1.", "sealed.1.AAAA", "\u2603", None, 7, ["x"], {}])
def test_it_counts_as_absent_where_it_was_made_up(made_up: object, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert not _recognized(one, {"order_validation_id": made_up})  # type: ignore[dict-item]


@pytest.mark.rule("META-8")
def test_it_counts_as_absent_where_another_service_sealed_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    other_key = "b3RoZXIga2V5IG9mIGFub3RoZXIgc2VydmljZS4uLi4="
    with scripted_service(tmp_path / "a", more={"LEVELUP_OV_SECRET_KEYS": other_key}) as theirs:
        metadata = theirs.validation_id()
    with scripted_service(tmp_path / "b") as ours:
        assert not _recognized(ours, metadata)


@pytest.mark.rule("META-8")
def test_after_seven_days_it_is_refused_and_nothing_is_asked(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        on_time, late = one.validation_id(), one.validation_id()
        one.clock.advance(days=7)
        assert one.submit(metadata=on_time).status == 200
        one.clock.advance(seconds=1)
        calls = len(one.proxy.calls)
        answer = one.submit(metadata=late)
        assert (answer.status, answer.code, answer.retryable) == (422, "order_validation_expired", False)
        assert answer.body["error"]["path"] == "$.order_submission.metadata.order_validation_id"
        assert len(one.proxy.calls) == calls


@pytest.mark.rule("META-8", "SUB-4")
def test_a_placed_order_is_replayed_after_its_id_expired(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        metadata = one.validation_id()
        one.clock.advance(days=6)
        first = one.submit(metadata=metadata)
        one.clock.advance(days=3)
        again = one.submit(metadata=metadata)
        assert (again.status, again.replayed, again.body) == (200, True, first.body)


@pytest.mark.rule("META-4", "META-8")
def test_a_submission_without_it_is_taken(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit().status == 200
