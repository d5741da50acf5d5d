"""Traces for OpenTelemetry: a span for each request, each call to a provider and each use of the ledger.

Off until :func:`use` gets a provider of tracers: nothing of the library is loaded, and each place costs a look at a
variable. Attributes name operations, accounts, hosts and statuses: never a person, a path, a query or a body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

_tracer: Any = None
_NONE: AbstractContextManager[None] = nullcontext()
_QUIET = {"record_exception": False, "set_status_on_exception": False}
"""What failed is reported by a code: the text of an exception may hold more."""


def export_to(url: str) -> None:
    """Send traces to a collector at ``url``, as OTLP over HTTP.

    The library's own ``OTEL_`` variables apply, such as those of the sampler.

    :raises ImportError: the library is an extra.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({SERVICE_NAME: "levelup_ov"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    # Its thread sends them later, and drops what is too much: no request waits.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    use(provider)


def use(provider: Any) -> None:
    """Trace with a ``TracerProvider`` of the library, or not at all with None."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("levelup_ov")


class RequestSpan:
    """The span of a request, from its head to its answer; the caller's trace goes on in it (W3C trace context)."""

    def __init__(self, header: Callable[[str], str | None]) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        given = {name: value for name in ("traceparent", "tracestate") if (value := header(name)) is not None}
        # Not the context of this thread: the request before may have left one.
        caller = TraceContextTextMapPropagator().extract(given, context.Context())
        self._span = _tracer.start_span("request", caller, trace.SpanKind.SERVER)
        self._token = context.attach(trace.set_span_in_context(self._span, caller))

    @property
    def trace_id(self) -> str:
        """The id of the trace, as in ``traceparent``."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(self, name: str, **attributes: Any) -> None:
        """The request was answered; attributes that are None are left out."""
        from opentelemetry import context

        self._span.update_name(name)
        _describe(self._span, attributes)
        self._span.end()
        context.detach(self._token)


def begin_request(header: Callable[[str], str | None]) -> RequestSpan | None:
    """The span of a request, whose headers ``header`` gives by name; None without tracing."""
    return None if _tracer is None else RequestSpan(header)


def call(headers: MutableMapping[str, str], *, method: str | None, host: str) -> AbstractContextManager[Any]:
    """A span around one exchange with a provider; ``headers``: of the request, which get the trace context."""
    return _NONE if _tracer is None else _call(headers, method, host)


@contextmanager
def _call(headers: MutableMapping[str, str], method: str | None, host: str) -> Iterator[Any]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    with _tracer.start_as_current_span(method or "call", kind=trace.SpanKind.CLIENT, **_QUIET) as span:
        _describe(span, {"http.request.method": method, "server.address": host})
        TraceContextTextMapPropagator().inject(headers)
        yield span


def describe_call(span: Any, status: int | None, failure: str | None) -> None:
    """How an exchange ended: the answer's status, or the code of why there was none."""
    if span is not None:
        _describe(span, {"http.response.status_code": status, "error.type": failure})


def ledger(system: str) -> AbstractContextManager[Any]:
    """A span around one use of the ledger's database, within a request that is traced."""
    return _NONE if _tracer is None else _ledger(system)


@contextmanager
def _ledger(system: str) -> Iterator[None]:
    from opentelemetry import trace

    if not trace.get_current_span().is_recording():
        yield
        return
    with _tracer.start_as_current_span("ledger", kind=trace.SpanKind.CLIENT, **_QUIET) as span:
        _describe(span, {"db.system.name": system})
        try:
            yield
        except BaseException as error:
            _describe(span, {"error.type": type(error).__name__})
            raise


def _describe(span: Any, attributes: Mapping[str, Any]) -> None:
    """Attributes with the names of OpenTelemetry's conventions where it has one; an ``error.type`` marks the span."""
    from opentelemetry.trace import StatusCode

    for name, value in attributes.items():
        if value is not None:
            span.set_attribute(name, value)
    if attributes.get("error.type") is not None:
        span.set_status(StatusCode.ERROR)
