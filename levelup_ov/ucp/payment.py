"""Reads an agent's payment instrument as a tender (UCP-8). Pure; it stores no payment data."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from levelup_ov.domain.tender import CreditCard
from levelup_ov.schemas.agent_checkouts import CredentialRequest, PaymentRequest
from levelup_ov.sessions.model import LevelUpTender, SessionTender
from levelup_ov.ucp.problems import Message
from levelup_ov.ucp.profile import CARD_CREDENTIAL, CARD_HANDLER, LEVELUP_CREDENTIAL, LEVELUP_HANDLER, TENDER_OF

_CREDENTIALS: Mapping[str, str] = {LEVELUP_HANDLER: LEVELUP_CREDENTIAL, CARD_HANDLER: CARD_CREDENTIAL}
HANDLERS = frozenset(_CREDENTIALS)
"""The ids of the handlers whose instruments are read."""
_NEEDED: Mapping[str, tuple[str, ...]] = {
    LEVELUP_HANDLER: ("merchant", "user", "location_id"),
    CARD_HANDLER: ("number", "cvc", "expiry_month", "expiry_year"),
}


def tender(request: PaymentRequest, tenders: Collection[str]) -> SessionTender | Message:
    """The tender of a completion, or why there is none; ``tenders`` are those that the session may be paid with."""
    instrument, where = request.instrument, f"$.payment.instruments[{request.position}]"
    handler = instrument.handler_id
    if TENDER_OF.get(handler) not in tenders:
        usable = ", ".join(each for each in _CREDENTIALS if TENDER_OF[each] in tenders) or "none is set up"
        words = f"no payment handler {handler!r} takes payments for this checkout; usable here: {usable}"
        return _no(words, f"{where}.handler_id")
    if instrument.type != handler:
        return _no(f"expected an instrument of the type {handler}", f"{where}.type")
    credential = instrument.credential
    if credential is None or credential.type != _CREDENTIALS[handler]:
        return _no(f"expected a credential of the type {_CREDENTIALS[handler]}", f"{where}.credential")
    if missing := [name for name in _NEEDED[handler] if getattr(credential, name) is None]:
        return _no(f"the credential has no {missing[0]}", f"{where}.credential.{missing[0]}")
    if handler == LEVELUP_HANDLER:
        return _levelup(credential)
    if not (postal_code := credential.postal_code or instrument.postal_code):
        return _no("the card's postal code is missing", f"{where}.billing_address.postal_code")
    return _card(credential, postal_code)


def _levelup(credential: CredentialRequest) -> LevelUpTender:
    assert credential.merchant and credential.user and credential.location_id
    return LevelUpTender(credential.merchant, credential.user, credential.location_id)


def _card(credential: CredentialRequest, postal_code: str) -> CreditCard:
    assert credential.number and credential.cvc
    month, year = f"{credential.expiry_month:02}", str(credential.expiry_year)
    return CreditCard(credential.number, credential.cvc, month, year, postal_code, credential.name)


def _no(words: str, path: str) -> Message:
    return Message("error", "payment_failed", words, path)
