"""Telephone numbers as people write them, for providers that want the country code separately.

The library's lists of area codes lag behind the numbering plans, so no number is checked against them or refused.
Only the country code is read from them, which changes once in decades.
"""

from __future__ import annotations

from typing import NamedTuple


class Phone(NamedTuple):
    """A number: the country's calling code without ``+``, and what is dialed within that country."""

    country_code: str
    national: str


def read_phone(text: str, region: str) -> Phone | None:
    """The number in ``text``; None if its country cannot be determined.

    ``region``: the country of a number without a country code, as two letters of ISO 3166. A number that is
    too long or too short for that country is not guessed at.
    """
    # Few providers need it, and it takes 2 MB.
    from phonenumbers import (
        NumberParseException,
        PhoneNumber,
        is_possible_number,
        national_significant_number,
        parse,
    )

    number = PhoneNumber()
    try:
        parse(text, region, numobj=number)
    except NumberParseException:
        return None
    international = text.strip().startswith(("+", "\uff0b"))
    if not international and not is_possible_number(number):
        return None
    national = national_significant_number(number)
    return Phone(str(number.country_code), f"{national} x{number.extension}" if number.extension else national)
