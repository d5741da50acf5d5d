"""``spck-conformance``, a suite written by others, against the shopping face over a real port."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import urlopen

import pytest
from flask import Flask
from joserfc.jwk import ECKey
from werkzeug.test import run_wsgi_app

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.event_settings import EVENTS
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ucp.catalog import MOST_IDS
from tests.channel import Clock
from tests.checkout.site import VARIABLES
from tests.servers.process import SystemMissing, required
from tests.ucp.agent import AGENTS, KEY, pays_by_card
from tests.ucp.agent_platform import call_off, new_key, published, served, watch
from tests.ucp.official import Official, template

SUITE = "spck_conformance"
NEWER, OLDER = (ECKey.generate_key("P-256", {"kid": name}) for name in ("newer", "older"))
"""The keys of an agent that has just replaced one."""
PROFILES = {
    "/old": {"ucp": {"version": "2024-01-01", "capabilities": {}}},
    "/other": {"ucp": {"version": "2026-04-08", "capabilities": {"org.example.books": [{"version": "2026-04-08"}]}}},
    "/broken": ["not a profile"],
    "/signer": {
        "ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.checkout": [{"version": "2026-04-08"}]}},
        "signing_keys": [
            *map(published, (NEWER, OLDER)),
            {"kid": "other", "kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        ],
    },
}
"""Profiles of agents by their paths, only one of which this service can serve; there is nothing at any other path."""

_OF_SUITE = re.compile(r"http://127\.0\.0\.1:([0-9]+/profiles/platform-profile\.json)")

NOT_TESTED = {
    # The tests' server has no TLS; in production it is the router's.
    "discovery.profile_https", "checkout.https_tls13_minimum_04_08", "order.https_tls13_minimum",
    # Only the suite's own repository has the validator; test_ucp_profile.py asks the official schema.
    "discovery.profile_schema",
    # There is one version, so no older one has a profile.
    "profile.leaf_no_supported_versions",
    # No part of an order is given back here.
    "order.adjustment_quantities_signed", "order.adjustment_totals_signed", "order.line_items_ever_existed",
    # No claim of a buyer is ever accepted, no payment is handed to a browser, and an item has one variant.
    "eligibility.completion_blocked", "eligibility.invalid_message", "payment.escalation_continue_url",
    "checkout.escalation_buyer_message", "checkout.escalation_continue_url",
    "checkout.escalation_continue_url_https", "checkout.requires_star_implies_escalation",
    "catalog.getproduct_selected",
}  # fmt: skip
"""What the suite cannot test here, and why; anything else that it leaves out fails the test."""


def agents_profiles(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Hosts :data:`PROFILES`, and shows those of the suite, each at its port, which is below ``/suite``."""
    path = environ["PATH_INFO"]
    profile = PROFILES.get(path)
    if path.startswith("/suite/"):
        profile = json.load(urlopen(f"http://127.0.0.1:{path.removeprefix('/suite/')}", timeout=5))
    start_response("200 OK" if profile else "404 Not Found", [("Content-Type", "application/json")])
    return [json.dumps(profile).encode()]


class Front:
    """What the suite lacks: a key, and our payment where it has one built in, which names no handler.

    It also serves the suite's own ``/testing`` addresses: one gives a key, of which the orders that were read with one
    are not lent any more; one takes the ledger away, one moves the clock, and one has the restaurant call an order off.
    The suite's own profiles, at ports that are not known before, are read at ``profiles``.
    """

    def __init__(self, app: Flask, clock: Clock, official: Official | None, profiles: str) -> None:
        self._app = app
        self._clock = clock
        self._official = official
        self._ledger = app.extensions["levelup_ov"].submissions.ledger.database
        self._profiles = profiles
        self._keyed: set[str] = set()
        self.requests = 0
        self.wrong: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.requests += 1
        path = environ["PATH_INFO"]
        if path not in self._keyed:
            environ["HTTP_X_API_KEY"] = KEY
        agent = environ.get("HTTP_UCP_AGENT", "")
        environ["HTTP_UCP_AGENT"] = _OF_SUITE.sub(rf"{self._profiles}/suite/\1", agent)
        if "HTTP_AUTHORIZATION" in environ:
            self._keyed.add(path)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if "/testing/" in path:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._testing(path, json.loads(body))).encode()]
        if b'"success_token"' in body and b'"handler_id"' not in body:
            body = json.dumps(pays_by_card()).encode()
        environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        answer, status, headers = run_wsgi_app(self._app, environ)
        content = b"".join(answer)
        self._check(environ, body, int(status[:3]), content)
        start_response(status, list(headers))
        return [content]

    def _testing(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/outage"):
            self._outage(body["enabled"])
        elif path.endswith("/age"):
            self._clock.now += timedelta(hours=body["hours"])
        elif path.endswith("/adjust"):
            call_off(self._app)
            watch(self._app)
        return {"access_token": KEY}

    def _outage(self, begins: bool) -> None:
        """The ledger fails, or works again."""
        if begins:
            self._ledger.run = _down
        else:
            del self._ledger.run

    def _check(self, environ: dict[str, Any], body: bytes, status: int, content: bytes) -> None:
        path = environ["PATH_INFO"]
        if self._official is None or not path.startswith("/ucp/shopping/") or path.endswith("/mcp"):
            return
        method, operation = environ["REQUEST_METHOD"], template(path.removeprefix("/ucp/shopping"))
        found = self._official.answer(operation, status, json.loads(content))
        if body and status < 400:
            found += self._official.request(method, operation, json.loads(body))
        self.wrong += (f"{method} {path}: {each}" for each in found)


def _down(*_: Any, **__: Any) -> NoReturn:
    raise LedgerUnavailable("out of order")


def config(profiles: str, products: int) -> dict[str, Any]:
    """What the suite asks of a business; ``products`` are found by one search."""
    return {
        "product_id": "sandbox.congress/cookie",
        "currency": "USD",
        "out_of_stock_id": "sandbox.congress/soup",
        "unavailable": {"business_outcome": True},
        "complete_payment": pays_by_card(),
        "fail_payment": pays_by_card("4000000000000002"),
        "catalog": {
            "variant_id": "sandbox.congress/cookie", "max_batch": MOST_IDS,
            "paginated_query": "*", "paginated_total": products,
        },
        "totals": {"sublines": True},
        "eligibility": {"unrecognized": "com.example.gold"},
        "idempotency": {"outage_hook": True, "age_hook": True},
        "identity": {"token_mint": True},
        "order": {"require_auth": True, "simulate_adjustment": True},
        "signature": {
            "responses": True, "platform_profile_url": f"{profiles}/signer", "unsupported_alg_kid": "other",
            "request_private_jwk": NEWER.as_dict(private=True), "rotated_private_jwk": OLDER.as_dict(private=True),
        },
        "webhooks": {"simulate": True, "signed": True, "retries": True},
        "payment": {
            "handler_key": "org.levelup_ov.card", "handler_id": "card",
            "filtered": {"handler_key": "org.levelup_ov.levelup", "product_id": "sandbox.card/cookie"},
        },
        "negotiation": {
            "validates_profile_url": True,
            "unsupported_version_profile_url": f"{profiles}/old",
            "incompatible_caps_profile_url": f"{profiles}/other",
            "unreachable_profile_url": f"{profiles}/gone",
            "malformed_profile_url": f"{profiles}/broken",
        },
    }  # fmt: skip


def report(address: str, file: Path) -> dict[str, Any]:
    """What the suite says."""
    command = [sys.executable, "-m", f"{SUITE}.cli", "--server", address, "--config", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 2), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.rule("UCP-1", "UCP-3", "UCP-12")
def test_a_suite_of_others_finds_no_deviation(
    request: pytest.FixtureRequest,
    environ: dict[str, str],
    tmp_path: Path,
    clock: Clock,
    official_if_here: Official | None,
) -> None:
    with required(request, "spck-conformance"):
        if find_spec(SUITE) is None:
            raise SystemMissing("install the pinned release of requirements-dev.txt")
    with served(agents_profiles) as profiles:
        variables = {**environ, **AGENTS, **VARIABLES, "LEVELUP_OV_UCP_PROFILES": profiles,
                     "LEVELUP_OV_UCP_SIGNING_KEYS": new_key()}  # fmt: skip
        app = create_app(load_settings(variables), clock=clock)
        front = Front(app, clock, official_if_here, profiles)
        app.extensions[EVENTS].start()
        with served(front) as address:
            file = tmp_path / "merchant.json"
            file.write_text(json.dumps(config(profiles, products=38)))
            found = report(address, file)
        app.extensions[EVENTS].stop()
    checks = {each["id"]: each for each in found["checks"]}
    deviations = {id: each["observed"] for id, each in checks.items() if each["status"] == "deviation"}
    assert not deviations, json.dumps(deviations, indent=1)
    assert found["spec_version"] == "2026-04-08" and found["verdict"]["deviations"] == 0
    tested = {id for id, each in checks.items() if each["status"] == "clean-pass"}
    applicable = {id for id, each in checks.items() if not each["status"].startswith("not-applicable")}
    assert applicable - tested == NOT_TESTED
    assert front.wrong == [], "\n".join(front.wrong)
    assert len(tested) >= 98 and front.requests > len(tested)
