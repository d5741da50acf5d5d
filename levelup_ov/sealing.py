"""Sealing values that leave the service and come back (META-7), with keys that can be rotated.

A sealed value is AES-256-GCM under a key derived for one purpose, bound to one context (an account). The newest key
seals, every key opens. What does not open counts as absent, never as an error.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from levelup_ov.domain.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PREFIX = "sealed.1."
_NONCE = 12


class Sealer:
    """Seals and opens short texts for one ``purpose``; the keys come from ``LEVELUP_OV_SECRET_KEYS``.

    Not Fernet, which binds no context.
    """

    def __init__(self, keys: Sequence[Secret], purpose: str) -> None:
        self._ciphers = tuple(AESGCM(derive(key, purpose)) for key in keys)

    def seal(self, text: str, context: str) -> str:
        """``text``, sealed: only we can open it, and only with the same ``context``."""
        return PREFIX + base64.urlsafe_b64encode(self.encrypt(text.encode(), context)).decode().rstrip("=")

    def open(self, sealed: str, context: str) -> str | None:
        """The text that was sealed for ``context``; None if forged, foreign, damaged, or under a key that is gone."""
        encoded = sealed.removeprefix(PREFIX)
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            opened = self.decrypt(raw, context)
            return None if opened is None else opened.decode()
        except ValueError:
            return None

    def encrypt(self, content: bytes, context: str) -> bytes:
        """What :meth:`seal` writes in base64."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, content, context.encode())

    def decrypt(self, sealed: bytes, context: str) -> bytes | None:
        """What :meth:`encrypt` was given for ``context``; None as in :meth:`open`."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
            except (InvalidTag, ValueError):
                continue
        return None


def derive(key: Secret, purpose: str) -> bytes:
    """A separate 32-byte key for each purpose, so that no key is used in two ways.

    The keys are random and as long as the hash, so no extraction is needed (RFC 5869).
    """
    material = base64.b64decode(key.reveal(), altchars=b"-_")
    return HKDFExpand(SHA256(), 32, f"levelup_ov {purpose}".encode()).derive(material)


def signing_key(key: Secret) -> EllipticCurvePrivateKey:
    """The key that signs what others verify: its DER in base64. :raises ValueError: it is not a P-256 key."""
    # A megabyte, which only signing for agents needs.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        private = load_der_private_key(base64.b64decode(key.reveal(), validate=True), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        raise ValueError("not a P-256 key")
    return private
