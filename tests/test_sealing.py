"""What is given away and comes back: only as it was, only for whom it was, or not at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.config import new_secret_key
from levelup_ov.domain.secret import Secret
from levelup_ov.sealing import PREFIX, Sealer, derive

pytestmark = pytest.mark.rule("META-7")

OLD, NEW = Secret(new_secret_key()), Secret(new_secret_key())
SEALER = Sealer([NEW], "metadata")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS, TEXTS)
def test_what_was_sealed_opens_for_the_same_context(text: str, context: str) -> None:
    sealed = SEALER.seal(text, context)
    assert sealed.startswith(PREFIX)
    assert sealed.isascii() and sealed.isprintable()
    assert SEALER.open(sealed, context) == text


@given(TEXTS, TEXTS, TEXTS)
def test_it_does_not_open_for_another_context(text: str, context: str, other: str) -> None:
    assert (SEALER.open(SEALER.seal(text, context), other) is None) == (other != context)


@given(TEXTS, st.data())
def test_a_changed_byte_makes_it_absent(text: str, data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(SEALER.seal(text, "one").removeprefix(PREFIX) + "=="))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    assert SEALER.open(PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("="), "one") is None


@given(st.text() | st.binary().map(lambda raw: PREFIX + base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_absent_and_no_error(text: str) -> None:
    assert SEALER.open(text, "one") is None


def test_sealed_text_is_unreadable_and_no_two_seals_are_alike() -> None:
    sealed = {SEALER.seal("a canary in plain text", "one") for _ in range(50)}
    assert len(sealed) == 50
    assert not any(b"canary" in base64.urlsafe_b64decode(text.removeprefix(PREFIX) + "==") for text in sealed)


def test_the_newest_key_seals_and_every_key_opens() -> None:
    before, during = Sealer([OLD], "metadata"), Sealer([NEW, OLD], "metadata")
    assert during.open(before.seal("kept", "one"), "one") == "kept"
    assert SEALER.open(during.seal("kept", "one"), "one") == "kept"
    assert before.open(during.seal("kept", "one"), "one") is None


def test_a_key_that_was_dropped_opens_nothing() -> None:
    assert SEALER.open(Sealer([OLD], "metadata").seal("kept", "one"), "one") is None


def test_purposes_have_keys_of_their_own() -> None:
    assert Sealer([NEW], "order_validation_id").open(SEALER.seal("kept", "one"), "one") is None
    assert derive(NEW, "metadata") != derive(NEW, "identity")
    assert len(derive(NEW, "metadata")) == 32
    assert derive(NEW, "metadata") == derive(Secret(NEW.reveal()), "metadata")
