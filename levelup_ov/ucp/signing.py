"""Signatures of HTTP messages as UCP has them: RFC 9421 with ES256 over a digest of the body (UCP-15, UCP-16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from joserfc.jwk import ECKey

from levelup_ov.domain.secret import Secret
from levelup_ov.sealing import signing_key

LABEL = "sig1"
"""The name of the signature in its headers."""
_ALWAYS = ("@method", "@authority", "@path")


@dataclass(slots=True)
class _Request:
    """What the library needs of a request; it adds to ``headers``."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(slots=True)
class _Response:
    """The same of an answer."""

    status_code: int
    headers: dict[str, str]


class Signatures:
    """Signs with the first of ``keys``; all of them are published, so that what an older one signed still verifies."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        private = [signing_key(key) for key in keys]
        self.published = [_public(ECKey.import_key(key)) for key in private]
        self._key_id = str(self.published[0]["kid"])
        resolver = MappingKeyResolver(public_keys={}, private_keys={self._key_id: private[0]})
        self._signer = HTTPMessageSigner(signature_algorithm=ECDSA_P256_SHA256, key_resolver=resolver)

    def headers_of_post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> dict[str, str]:
        """``headers`` with those of a signature over all of them, the address and the body.

        ``url``: as it is sent, without a fragment.
        """
        request = _Request("POST", url, dict(headers))
        query = ("@query",) if "?" in url else ()
        self._sign(request, (*_ALWAYS, *query, *(name.lower() for name in headers)), body, now)
        return request.headers

    def headers_of_answer(self, status: int, content_type: str, body: bytes, now: datetime) -> dict[str, str]:
        """The headers of a signature over an answer, its type among them."""
        answer = _Response(status, {"Content-Type": content_type})
        self._sign(answer, ("@status", "content-type"), body, now)
        return answer.headers

    def _sign(self, message: _Request | _Response, covered: tuple[str, ...], body: bytes, now: datetime) -> None:
        self._signer.sign(
            message,
            key_id=self._key_id,
            created=now,
            label=LABEL,
            # UCP derives the algorithm from the key, and forbids to name it.
            include_alg=False,
            covered_component_ids=covered,
            body=body,
        )


def _public(key: ECKey) -> dict[str, Any]:
    """A public key as a profile has it (RFC 7517), named after its thumbprint (RFC 7638)."""
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": "ES256"}
