"""Traces: from the channel through the service and its ledger to the provider, without anybody's data."""

from __future__ import annotations

import gzip
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bench.hostile import ask
from levelup_ov import tracing
from levelup_ov.app import create_app
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.standins.sandbox import create_sandbox
from tests.channel import CARD, USER, Channel, Clock, order
from tests.servers.gateway import Gateway

Spans = Callable[[], tuple[ReadableSpan, ...]]

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ACCOUNTS = '[accounts.far]\nprovider = "sandbox"\nname = "Far"\nsettings = {base_url = "http://127.0.0.1:1"}\n'


@pytest.fixture
def spans() -> Iterator[Spans]:
    """What was exported so far."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter.get_finished_spans
    tracing.use(None)
    provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def traced(tmp_path: Path, clock: Clock, environ: dict[str, str]) -> tuple[Channel, list[str]]:
    """A channel to the service, and the trace contexts that its provider gets."""
    engine, contexts = create_sandbox(tmp_path / "sandbox.db", clock=clock), list[str]()

    def listen(environ: dict[str, Any], start_response: Any) -> Any:
        contexts.append(environ.get("HTTP_TRACEPARENT", ""))
        return engine(environ, start_response)

    app = create_app(load_settings(environ), clock=clock, in_process={"sandbox.internal": listen})
    return Channel(app), contexts


def submit(channel: Channel, **headers: str) -> None:
    body = json.dumps({"order_submission": order(credit_card=CARD, order_number="n-1")})
    path = "/locations/sandbox.congress/order_submissions"
    assert channel.send("POST", path, data=body, content_type="application/json", headers=headers).status == 200


def test_a_submission_is_one_trace_from_end_to_end(
    traced: tuple[Channel, list[str]], spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    channel, contexts = traced
    submit(channel, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="channel=1")
    found = spans()
    assert {f"{span.context.trace_id:032x}" for span in found} == {TRACE}
    [request] = [span for span in found if span.name == "submit_order"]
    assert request.parent is not None and f"{request.parent.span_id:016x}" == PARENT
    reported = attributes(request)
    assert reported["levelup_ov.outcome"] == "ok" and reported["levelup_ov.account"] == "sandbox"
    assert reported["http.response.status_code"] == 200
    calls = [span for span in found if "server.address" in attributes(span)]
    assert calls and {attributes(span)["server.address"] for span in calls} == {"sandbox.internal"}
    # What the provider got names the span of that very call.
    assert contexts == [f"00-{TRACE}-{span.context.span_id:016x}-01" for span in calls]
    ids = {span.context.span_id for span in found}
    assert all(span.parent and span.parent.span_id in ids for span in found if span is not request)
    assert sum(span.name == "ledger" for span in found) >= 3
    assert any(getattr(record, "trace_id", "") == TRACE for record in caplog.records)


@pytest.mark.rule("ERR-4", "PAY-2")
def test_no_attribute_has_anybodys_data(traced: tuple[Channel, list[str]], spans: Spans) -> None:
    submit(traced[0])
    text = " ".join(f"{span.name} {attributes(span)} {span.events} {span.status.description}" for span in spans())
    for value in (*USER.values(), CARD["number"], CARD["name"], "dev-key", "sandwich", "/locations"):
        assert value not in text
    # So few digits are also within an id now and then.
    assert not re.search(rf"(?<![\w-]){CARD['cvv']}(?![\w-])", text)


def test_what_fails_is_marked_with_its_code(make_app: Callable[..., Flask], spans: Spans, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    channel = Channel(make_app(LEVELUP_OV_ACCOUNTS=str(tmp_path / "accounts.toml")))
    assert channel.validate("far.congress").status == 503
    assert {(span.name, attributes(span).get("error.type")) for span in spans()} == {
        ("GET", "provider_unavailable"),
        ("validate_order", "provider_unavailable"),
    }
    assert not any(span.events or span.status.is_ok for span in spans())


def test_each_request_starts_its_own_trace(traced: tuple[Channel, list[str]], spans: Spans) -> None:
    channel, _ = traced
    for given in ("", "nonsense", "00-0-0-00"):
        assert channel.get("/merchants", traceparent=given).status == 200
    assert len({span.context.trace_id for span in spans()}) == 3
    assert all(span.parent is None for span in spans())


def test_without_tracing_a_provider_gets_no_context(traced: tuple[Channel, list[str]]) -> None:
    channel, contexts = traced
    submit(channel, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert set(contexts) == {""}


def test_workers_send_their_traces_to_a_collector() -> None:
    received: list[tuple[str, bytes]] = []

    @Request.application
    def collect(request: Request) -> Response:
        received.append((request.path, request.get_data()))
        return Response()

    collector = make_server("127.0.0.1", 0, collect)
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with Gateway(LEVELUP_OV_TRACES_URL=f"http://127.0.0.1:{collector.port}/v1/traces") as server:
        assert ask(server.port, "GET", "/merchants")[0] == 200
        # What was not sent yet is sent at the end.
    collector.shutdown()
    thread.join()
    collector.server_close()
    assert {path for path, _ in received} == {"/v1/traces"}
    assert b"list_merchants" in gunzipped(received) and b"levelup_ov" in gunzipped(received)


def test_an_address_of_a_collector_is_checked(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"not an http\(s\) address"):
        load_settings({**environ, "LEVELUP_OV_TRACES_URL": "collector:4318"})
    monkeypatch.setattr("levelup_ov.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install levelup_ov\[opentelemetry\]"):
        load_settings({**environ, "LEVELUP_OV_TRACES_URL": "http://127.0.0.1:4318/v1/traces"})


def test_a_service_without_traces_does_not_load_the_library() -> None:
    code = "import sys, levelup_ov.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[]\n", ran.stderr


def gunzipped(received: list[tuple[str, bytes]]) -> bytes:
    return b"".join(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for _, body in received)
