"""The side of an agent that is called: its profile, and its receiver of webhooks, over a port."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

VERSION = "2026-04-08"
HOOK = "/hooks/orders%2f?channel=lunch%20bot"


def new_key() -> str:
    """A key as the setting has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())).decode()


def published(key: ECKey) -> dict[str, str]:
    """The key as a profile has it."""
    return {name: str(value) for name, value in key.as_dict(private=False).items()}


@contextmanager
def served(app: Callable[..., Iterable[bytes]]) -> Iterator[str]:
    """The address of ``app`` on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call_off(app: Flask) -> None:
    """The restaurant makes none of its orders."""
    with closing(sqlite3.connect(app.extensions["levelup_ov.settings"].data_dir / "sandbox.db")) as engine, engine:
        engine.execute("INSERT INTO cancellations SELECT id, placed_at FROM orders")


def watch(app: Flask) -> None:
    app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"])


@dataclass
class Received:
    """A webhook, as the library for signatures wants a request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def order(self) -> dict[str, Any]:
        order: dict[str, Any] = json.loads(self.body)
        return order

    def verify(self, keys: Iterable[dict[str, str]]) -> set[str]:
        """As :func:`verify`."""
        return verify(self, self.body, keys)


def verify(message: object, body: bytes, keys: Iterable[dict[str, str]]) -> set[str]:
    """The names of what a message's signature covers. :raises InvalidSignature: none of ``keys`` made it."""
    public = {key["kid"]: ECKey.import_key(dict(key)).public_key for key in keys}
    resolver = MappingKeyResolver(public_keys=public, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=ECDSA_P256_SHA256, key_resolver=resolver)
    verifier.max_clock_skew = timedelta(days=3650)  # tests have a clock of their own
    (result,) = verifier.verify(message, max_age=None, body=body)
    return {name.strip('"') for name in result.covered_components} - {"@signature-params"}


class Platform:
    """Its profile at ``/profile`` names ``webhook`` and ``keys``; what is POSTed gets ``answers``, 200 after these."""

    def __init__(self) -> None:
        self.address = ""
        self.webhook: object = ""
        self.keys: object = []
        self.answers: list[int] = []
        self.received: list[Received] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        content: dict[str, Any] = {"version": VERSION}
        status = 200
        if environ["REQUEST_METHOD"] == "POST":
            names = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
            headers = {name[5:].replace("_", "-").lower(): value for name, value in names.items()}
            headers["content-type"] = environ["CONTENT_TYPE"]
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}"
            self.received.append(Received("POST", url, headers, body))
            status = self.answers.pop(0) if self.answers else 200
        else:
            order = {"version": VERSION, "config": {"webhook_url": self.webhook}}
            checkout = {f"dev.ucp.{face}.checkout": [{"version": version}] for face, version in
                        (("shopping", VERSION), ("food", "2026-08-25"))}  # fmt: skip
            content["capabilities"] = {**checkout, "dev.ucp.shopping.order": [order]}
        start_response(f"{status} Whatever", [("Content-Type", "application/json"), ("Location", "/elsewhere")])
        return [json.dumps({"ucp": content, "signing_keys": self.keys}).encode()]
