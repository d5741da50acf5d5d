"""Verifies requests that agents sign: RFC 9421 with ES256, by the keys of their profiles (UCP-16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any

import http_sf
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from http_message_signatures import (
    ContentDigest,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerificationKey,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from werkzeug.datastructures import Headers

from levelup_ov.ucp.problems import Rejected

_SIGNATURE = ("Signature-Input", "Signature")
_ALWAYS = ("@method", "@authority", "@path")
_IF_SENT = ("UCP-Agent", "Idempotency-Key")
_OF_BODY = ("Content-Digest", "Content-Type")
MOST_SIGNATURES = 4
"""While keys are replaced there are two, and a proxy may add its own; each costs CPU."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request; ``url`` is the public address that the agent called."""

    method: str
    url: str
    headers: Headers
    body: bytes


class _Verifier(HTTPMessageVerifier):
    # UCP refuses repetitions by idempotency keys, not by age.
    require_created = False
    max_clock_skew = timedelta(minutes=1)


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, profile: Mapping[str, Any]) -> None:
        keys = profile.get("signing_keys")
        self._keys = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []

    def resolve_public_key(self, key_id: str) -> VerificationKey:
        """:raises Rejected: ``key_not_found``, ``algorithm_unsupported``."""
        found = next((key for key in self._keys if key.get("kid") == key_id), None)
        if found is None:
            raise Rejected("key_not_found", "the agent's profile has no signing key with this keyid", 401)
        if (found.get("kty"), found.get("crv")) != ("EC", "P-256"):
            raise Rejected("algorithm_unsupported", "signatures are verified by P-256 keys (ES256) only", 400)
        try:
            key = ECKey.import_key({name: str(found.get(name)) for name in ("kty", "crv", "x", "y")}).public_key
        except (JoseError, ValueError, TypeError):
            key = None
        if not isinstance(key, EllipticCurvePublicKey):
            raise Rejected("key_not_found", "the signing key with this keyid cannot be read", 401)
        return key


def verify(request: SignedRequest, profile: Mapping[str, Any]) -> None:
    """Verify that one of the first signatures of a request is by a key of its agent's profile.

    :raises Rejected: ``signature_missing``, ``key_not_found``, ``signature_invalid`` (401), ``digest_mismatch``,
        ``algorithm_unsupported`` (400).
    """
    headers, of_body = request.headers, _OF_BODY if request.body else ()
    if missing := [name for name in (*_SIGNATURE, *of_body) if name not in headers]:
        raise Rejected("signature_missing", f"the request is signed, but has no {missing[0]}", 401)
    if (digest := headers.get("Content-Digest")) is not None:
        try:
            ContentDigest.verify(digest, request.body)
        except InvalidSignature as error:
            raise Rejected("digest_mismatch", str(error), 400) from None
    required = (
        *_ALWAYS,
        *(("@query",) if "?" in request.url else ()),
        *(name.lower() for name in (*_IF_SENT, *of_body) if name in headers),
    )
    verifier = _Verifier(signature_algorithm=ECDSA_P256_SHA256, key_resolver=_Keys(profile))
    faults = []
    for each in islice(_signed_once(request), MOST_SIGNATURES):
        try:
            verifier.verify(each, max_age=None, require_components=required)
        except InvalidSignature as error:
            fault = error.__cause__
            if not isinstance(fault, Rejected):
                fault = Rejected("signature_invalid", "the signature does not verify", 401)
            faults.append(fault)
        else:
            return
    raise faults[0]


def _signed_once(request: SignedRequest) -> Iterator[SignedRequest]:
    """The request with each of its signatures alone, or as it is if they do not match."""

    def refuse(label: str, _context: str) -> None:
        raise ValueError(f"two signatures are called {label}")

    try:
        fields: list[Any] = [
            http_sf.parse(request.headers[name].encode(), tltype="dictionary", on_duplicate_key=refuse)
            for name in _SIGNATURE
        ]
    except ValueError:
        fields = [{}, {}]
    labels = fields[0].keys()
    if not labels or labels != fields[1].keys():
        yield request
        return
    for label in labels:
        headers = Headers(request.headers)
        for name, members in zip(_SIGNATURE, fields, strict=True):
            headers[name] = http_sf.ser({label: members[label]})
        yield replace(request, headers=headers)
