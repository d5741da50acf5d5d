"""A failure is complete when it is made, and nothing changes it on its way."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from levelup_ov.checkout.client import Unproven
from levelup_ov.checkout.refusals import LevelUpRefused
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import ReferenceFenced, Refused, Unanswered
from levelup_ov.ledger.engine import LedgerUnavailable, SchemaMismatch

DECLINED = LevelUpRefused("card_declined", "no", 422, "order", "base", path="$.order", named=[("order", "base")])
FAMILY = [
    Failure("item_unavailable", "sold out", path="$.items[0]", retry_after=1.5),
    Refused("card_declined", "no"),
    ReferenceFenced(),
    Unanswered("provider_timeout", "silence", sent=True, status=504),
    LedgerUnavailable(kind="disk"),
    SchemaMismatch("upgrade it"),
    DECLINED,
    Unproven(DECLINED, is_over=False),
]

family = pytest.mark.parametrize("failure", FAMILY, ids=lambda failure: type(failure).__name__)


@family
def test_no_member_can_be_changed_or_deleted(failure: Failure) -> None:
    before = dict(vars(failure))
    with pytest.raises(type(failure)) as caught:
        raise failure
    for name in (*before, "args", "proof", "of_its_own"):
        with pytest.raises(AttributeError, match=r"replace\(\)"):
            setattr(caught.value, name, "other")
        with pytest.raises(AttributeError):
            delattr(caught.value, name)
    with pytest.raises(AttributeError):
        caught.value.add_note("seen on the way")
    assert vars(failure) == before
    hash(tuple(before.values()))  # nothing in it can be changed either


@family
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it)), Failure.replace]
)
def test_copies_are_equal_and_as_fixed(failure: Failure, copied: Callable[[Failure], Failure]) -> None:
    again = copied(failure)
    assert again is not failure and type(again) is type(failure)
    assert (vars(again), again.args, str(again)) == (vars(failure), failure.args, str(failure))
    with pytest.raises(AttributeError):
        again.message = "other"


@family
def test_a_copy_differs_in_what_was_named(failure: Failure) -> None:
    other = failure.replace(code="internal_error", message="other")
    assert (other.code, other.message, str(other), other.args) == (
        "internal_error",
        "other",
        "other",
        ("internal_error",),
    )
    assert vars(other) == {**vars(failure), "code": "internal_error", "message": "other"}
    assert failure.message != "other"
    with pytest.raises(TypeError, match="has no mesage"):
        failure.replace(mesage="misspelled")


def test_a_copy_has_none_of_the_original_behind_it() -> None:
    with pytest.raises(Failure) as caught:
        try:
            raise ValueError("the reason")
        except ValueError as reason:
            raise Failure("internal_error", "with a secret") from reason
    copied = caught.value.replace(message="without")
    assert (copied.__traceback__, copied.__cause__, copied.__context__) == (None, None, None)
    assert caught.value.__traceback__ is not None and isinstance(caught.value.__cause__, ValueError)


def test_an_adapter_may_set_members_while_it_makes_one() -> None:
    class PriceDiffers(Refused):
        def __init__(self, total: int) -> None:
            super().__init__("price_changed", f"it costs {total}")
            self.total = total

    refusal = PriceDiffers(530)
    assert refusal.replace(proof=False).total == 530
    with pytest.raises(AttributeError):
        refusal.total = 0
