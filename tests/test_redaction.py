"""Secrets are taken out of texts that others wrote, in whatever form they have there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov import redaction
from levelup_ov.domain.secret import Secret
from levelup_ov.redaction import MASK, passes_luhn, remember, scrub, shield

pytestmark = pytest.mark.rule("ERR-4", "PAY-2")

FORMS = {
    "plain": lambda value: value,
    "percent-encoded": lambda value: quote(value, safe=""),
    "percent-encoded, slashes left": quote,
    "in a form": quote_plus,
    "in JSON": lambda value: json.dumps(value)[1:-1],
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 for addresses": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
}
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=8, max_size=24)
AROUND = st.text("ab <>,.'\"", max_size=6)


@pytest.mark.parametrize("form", FORMS)
@given(VALUES, AROUND, AROUND)
def test_no_form_of_a_secret_remains(form: str, value: str, before: str, after: str) -> None:
    written = FORMS[form](value)
    scrubbed = scrub(f"{before}{written}{after}", [Secret(value)])
    assert scrubbed == before + MASK + after or (written not in scrubbed)


@given(st.lists(VALUES, min_size=2, max_size=3))
def test_a_secret_within_another_leaves_nothing_of_either(values: list[str]) -> None:
    longer = "".join(values)
    text = f"<{longer}>"
    assert scrub(text, [Secret(value) for value in values] + [Secret(longer)]) == f"<{MASK}>"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("cvv 123 is wrong", f"cvv {MASK} is wrong"),
        ("(123)", f"({MASK})"),
        ("order 51234 of 1230", "order 51234 of 1230"),
        ("cvv123", f"cvv{MASK}"),
        ("cvv 1-2-3", f"cvv {MASK}"),
    ],
)
def test_a_short_secret_is_masked_where_it_is_alone(text: str, expected: str) -> None:
    assert scrub(text, [Secret("123")]) == expected


@pytest.mark.parametrize("text", ["", "nothing to hide", "order 1234567890 costs 12.50", "2026-06-03T12:30:00+00:00"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert scrub(text, [Secret(""), Secret("not in it")]) == text


@pytest.mark.parametrize(
    "number",
    ["4012888888881881", "4012 8888 8888 1881", "4012-8888-8888-1881", "378282246310005", "6304000000000000"],
)
def test_card_numbers_are_masked_even_if_not_named(number: str) -> None:
    assert scrub(f"card {number} was declined") == f"card {MASK} was declined"


@pytest.mark.parametrize("number", ["4012888888881882", "40128888888", "12345678901234567890123"])
def test_numbers_that_are_not_card_numbers_stay(number: str) -> None:
    assert scrub(f"order {number}") == f"order {number}"


@given(st.integers(10**11, 10**18 - 1))
def test_exactly_one_check_digit_makes_a_card_number(digits: int) -> None:
    assert sum(passes_luhn(f"{digits}{digit}") for digit in range(10)) == 1


@given(st.text(), st.lists(st.text(max_size=5).map(Secret), max_size=3))
def test_scrubbing_any_text_of_any_secrets_ends_well(text: str, secrets: list[Secret]) -> None:
    assert isinstance(scrub(text, secrets), str)


class Counting(bytes):
    """Counts how often it is searched."""

    searches = 0

    def __contains__(self, word: object) -> bool:
        self.searches += 1
        return super().__contains__(word)  # type: ignore[operator]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The tokens of many accounts, which the process remembers, and one that is too short to be told from words."""
    monkeypatch.setattr(redaction, "_known", redaction._known)
    tokens = [f"{number:05}-of-an-account"[: 15 + number % 7] for number in range(300)] + ["hunter-22"]
    remember(map(Secret, tokens))
    yield tokens


def test_a_token_of_many_is_masked_at_any_place(many: list[str]) -> None:
    for position, token in enumerate(many):
        before = b"x" * (position % 19)
        assert shield(before + token.encode() + b" behind") == before + MASK.encode() + b" behind"


def test_an_answer_is_not_searched_for_each_of_many(many: list[str]) -> None:
    answer = Counting(b"nothing of an account, " * 20)
    assert shield(answer) is answer
    assert answer.searches < 5
