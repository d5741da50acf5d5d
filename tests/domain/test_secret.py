"""A secret comes out of :meth:`Secret.reveal` and of nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import asdict, replace
from io import StringIO

import orjson
import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard

CANARY = "4012888888881881"
SECRET = Secret(CANARY)
CARD = CreditCard(SECRET, SECRET, "01", "2031", "02110")


@pytest.mark.rule("PAY-2", "ERR-4")
@pytest.mark.parametrize(
    "shown",
    [
        lambda: repr(SECRET),
        lambda: str(SECRET),
        lambda: f"{SECRET}",
        lambda: f"{SECRET!r:>40}",
        lambda: "%s %r" % (SECRET, SECRET),  # noqa: UP031 - this form is tested, too
        lambda: f"{SECRET} {SECRET!r}",
        lambda: repr([SECRET, {"number": SECRET}]),
        lambda: repr(CARD),
        lambda: repr(replace(CARD, cvv=Secret("123"))),
        lambda: repr(Failure("card_declined", f"declined: {SECRET}")),
        lambda: repr(copy.deepcopy(CARD)),
        lambda: repr(asdict(CARD)),
        lambda: json.dumps({"number": SECRET}, default=str),
        lambda: orjson.dumps({"number": SECRET}, default=str).decode(),
        lambda: repr(dir(SECRET)) + repr(type(SECRET).__doc__),
    ],
)
def test_no_way_of_showing_it_shows_the_value(shown) -> None:
    text = shown()
    assert text
    assert CANARY not in text


@pytest.mark.rule("PAY-2")
@pytest.mark.parametrize(
    "write",
    [
        lambda: pickle.dumps(SECRET),
        lambda: pickle.dumps(CARD),
        lambda: json.dumps({"number": SECRET}),
        lambda: orjson.dumps([SECRET]),
        lambda: vars(SECRET),
        lambda: format(SECRET, ">40"),
    ],
)
def test_what_would_write_it_down_fails_without_the_value(write) -> None:
    with pytest.raises(TypeError) as caught:
        write()
    assert CANARY not in str(caught.value)


@pytest.mark.rule("PAY-2")
def test_logging_it_shows_no_value() -> None:
    stream = StringIO()
    logger = logging.Logger("one of its own")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("card %s %r", SECRET, CARD, extra={"card": SECRET})
    assert "Secret(***)" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_it_is_compared_by_value() -> None:
    assert SECRET == Secret(CANARY) and hash(SECRET) == hash(Secret(CANARY))
    assert SECRET != Secret("4")
    assert SECRET != CANARY
    assert SECRET.reveal() == CANARY
    assert copy.copy(SECRET) is SECRET and copy.deepcopy([SECRET])[0] is SECRET
    assert Secret("\ud800") != Secret("a")
