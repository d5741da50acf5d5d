"""Telephone numbers as people write them, for providers that want the country apart from the number.

The library's lists of area codes are older than the numbering plans: whether a number is assigned is never asked, and
none is refused. Only the code of the country, which changes once in decades, is read off.
"""

from __future__ import annotations

from typing import NamedTuple


class Phone(NamedTuple):
    """A number: the calling code of its country without ``+``, and what is dialled within that country."""

    country_code: str
    national: str


def read_phone(text: str, region: str) -> Phone | None:
    """The number in ``text``; None if no country can be read off it.

    ``region``: the country in which a number without one is dialled, by its two letters of ISO 3166. A number that is
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
