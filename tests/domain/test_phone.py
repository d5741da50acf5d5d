"""Telephone numbers as people write them."""

from __future__ import annotations

import pytest

from levelup_ov.domain.phone import read_phone


@pytest.mark.rule("EP-11")
@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+44 20 7946 0958", "US", ("44", "2079460958")),
        ("+44 (0)20 7946 0958", "US", ("44", "2079460958")),
        ("011 44 20 7946 0958", "US", ("44", "2079460958")),
        ("+353 1 555 0123", "US", ("353", "15550123")),
        ("+61 2 5550 0123", "US", ("61", "255500123")),
        ("+39 06 698 12345", "US", ("39", "0669812345")),
        ("+49 30 901820", "US", ("49", "30901820")),
        ("+52 55 1234 5678", "US", ("52", "5512345678")),
        ("617-555-0123", "US", ("1", "6175550123")),
        ("(617) 555-0123 ext. 5", "US", ("1", "6175550123 x5")),
        ("+1 617 555 0123", "IE", ("1", "6175550123")),
        ("01 555 0123", "IE", ("353", "15550123")),
        ("020 7946 0958", "GB", ("44", "2079460958")),
        ("02 5550 0123", "AU", ("61", "255500123")),
    ],
)
def test_the_country_is_read_off_a_number(text: str, region: str, expected: tuple[str, str]) -> None:
    assert read_phone(text, region) == expected


@pytest.mark.rule("EP-11")
@pytest.mark.parametrize("area", ["200", "457", "565", "738", "924", "999"])
def test_an_area_code_need_not_be_known(area: str) -> None:
    assert read_phone(f"+1 {area} 555 0123", "GB") == ("1", f"{area}5550123")
    assert read_phone(f"{area}-555-0123", "US") == ("1", f"{area}5550123")
    assert read_phone(f"1 {area} 555 0123", "US") == ("1", f"{area}5550123")


@pytest.mark.rule("EP-11")
@pytest.mark.parametrize("text", ["", "call me", "123", "44 7700 900123 9", "+", "+999 555 0123", "0"])
def test_what_names_no_country_is_not_guessed_at(text: str) -> None:
    assert read_phone(text, "US") is None
