"""A provider that promises the same order for the same idempotency key, and its adapter."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from levelup_ov.adapter import Adapter, Setting
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused
from levelup_ov.transport.session import Reply, Session
from tests.faults.scripted import ScriptedService, scripted_service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ReplayingAdapter(Adapter):
    """Knows one location, places orders, and nothing else."""

    interface_version = 2
    tenders = frozenset({"levelup"})
    recovery = "replay"
    settings = {"base_url": Setting("address", required=True, url=True)}

    def list_locations(self, session: Session) -> Sequence[Location]:
        return [Location("congress", "Congress Street", time_zone="America/New_York")]

    def show_menu(self, location: Location, session: Session) -> Menu:
        raise NotImplementedError

    def validate_order(self, order: Order, session: Session) -> Quote:
        raise NotImplementedError

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        headers = {"Idempotency-Key": order.reference or ""}
        answer = session.post("/orders", {}, headers=headers, places_order=True, repeatable=True).object()
        return Placed(answer.integer("ticket"), answer.identifier("id"), reference=answer.text("reference"))

    def error_from(self, reply: Reply) -> Refused | None:
        return None


REPLAYING = ReplayingAdapter


class Provider:
    """``lost``: how many answers are lost at first."""

    def __init__(self, lost: int) -> None:
        self._lost = lost
        self.calls = 0
        self.orders: dict[str, int] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        self.calls += 1
        reference = request.headers["Idempotency-Key"]
        ticket = self.orders.setdefault(reference, len(self.orders) + 1)
        if self.calls <= self._lost:
            return Response("{}", 503)(environ, start_response)
        answer = json.dumps({"ticket": ticket, "id": f"order-{ticket}", "reference": reference})
        return Response(answer, 201, mimetype="application/json")(environ, start_response)


@contextmanager
def replaying_provider(directory: Path, *, lost: int) -> Iterator[tuple[ScriptedService, Provider]]:
    """The service before such a provider."""
    provider = Provider(lost)
    server = make_server("127.0.0.1", 0, provider, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    adapters = {"LEVELUP_OV_ADAPTERS": "replaying=tests.faults.replaying:ReplayingAdapter"}
    try:
        with scripted_service(directory, provider="replaying", more=adapters) as one:
            one.proxy.engine_port = server.server_port
            yield one, provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
