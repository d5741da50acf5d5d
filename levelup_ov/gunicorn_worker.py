"""gunicorn's threaded worker, whose threads never wait for a caller.

One event loop receives heads and bodies, and sends responses to slow callers. A thread gets a request once it is
complete, and is free again when its response is made. So connections that are idle, half open or send a byte now and
then use a file descriptor and some memory, but no thread. What is not HTTP gets an error of the contract too (ERR-1).

Written against gunicorn 27.0.1: it replaces ``accept``, ``run``, ``handle`` and ``finish_request`` of its
``ThreadWorker``, and uses its parser and its WSGI code. TLS is up to the router in front.
"""

from __future__ import annotations

import errno
import logging
import resource
import selectors
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import orjson
from gunicorn.http.errors import ConfigurationProblem, LimitRequestHeaders, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from levelup_ov.blueprints.http import BODY_LIMIT, MAX_BODY, POOL_OF_PATH
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS, body
from levelup_ov.event_settings import EVENTS
from levelup_ov.metrics import METRICS, Metrics

if TYPE_CHECKING:
    from levelup_ov.events import Deliverer

Stage = Literal["idle", "head", "body", "answer", "leaving"]

SECONDS: dict[Stage, float] = {
    # Balancers connect ahead of time and keep such a connection for 60 seconds by default.
    "idle": 75.0,
    "head": 10.0,
    "body": 10.0,
    "answer": 20.0,
    "leaving": 5.0,
}
"""How long each stage of a connection may take in total: starting, sending the head and the body of its request,
receiving the response, and stopping to send what is not read."""
LARGEST_HEAD = 32 * 1024
FRAMING = 64 * 1024
"""The most bytes that the framing of a chunked body may take."""
DISCARDED = 8 * 1024 * 1024
"""How many bytes of an unread body are discarded, so that a caller that first sends all of it gets the response."""
POOLS = {"": 0, "health": 2, "ready": 2, "console": 4}
"""The pool for orders, and further ones that serve certain paths, however busy its threads are."""

_RECEIVED_AT_ONCE = 64 * 1024
_ACCEPTED_AT_ONCE = 32
_PAUSE = 0.1
"""Seconds between attempts to accept while all threads are busy: another worker may be free."""

log = logging.getLogger("levelup_ov.request")


class _Received(Unreader):  # type: ignore[misc]
    """The received part of a request, for gunicorn's parser; ``failure`` is raised at its end."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.rest = head
        self.failure: OSError | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        rest, self.rest = self.rest, b""
        if not rest and self.failure is not None:
            raise self.failure
        return rest


class _Buffer:
    """A socket for gunicorn's response: it buffers everything and never blocks."""

    def __init__(self) -> None:
        self.content = bytearray()

    def sendall(self, data: bytes) -> None:
        self.content += data

    def send(self, data: bytes) -> int:
        self.content += data
        return len(data)

    def recv(self, _size: int) -> bytes:
        return b""

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, _seconds: float | None) -> None:
        pass

    def setblocking(self, _flag: bool) -> None:
        pass

    def shutdown(self, _how: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Chunks:
    """Scans the chunks of an arriving body, each byte once."""

    def __init__(self) -> None:
        self._at = 0
        self._last = False

    def ended(self, content: bytearray) -> bool:
        """Whether ``content`` has the whole body, or is not a chunked body at all."""
        while not self._last:
            end = content.find(b"\r\n", self._at)
            if end < 0:
                return False
            try:
                size = int(bytes(content[self._at : end]).partition(b";")[0], 16)
            except ValueError:
                return True  # the parser refuses it
            self._at = end if size == 0 else end + 2 + size + 2
            self._last = size == 0
            if size < 0 or (self._at > len(content) and size):
                return size < 0
        return content.find(b"\r\n\r\n", self._at) >= 0


class Connection(TConn):  # type: ignore[misc]
    """A caller's connection, from acceptance to its end: one request and one response."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.stage: Stage | None = None
        self.received = bytearray()
        self.scanned = 0
        self.discarded = 0
        self.request: Any = None
        self.unreader: _Received | None = None
        self.length: int | None = None
        self.chunks: _Chunks | None = None
        self.limit = 0
        self.answer = _Buffer()
        self.pool = ""
        self.is_over = False
        self.is_read = False

    def head_end(self) -> int:
        """Where the head ends, or -1."""
        while self.received.startswith(b"\r\n"):
            del self.received[:2]
        found = self.received.find(b"\r\n\r\n", max(self.scanned - 3, 0))
        self.scanned = len(self.received)
        return found + 4 if found >= 0 else -1

    def has_body(self) -> bool:
        """Whether the part of the body that will be read has arrived."""
        if self.chunks is not None:
            return self.limit == 0 or len(self.received) > self.limit + FRAMING or self.chunks.ended(self.received)
        length = self.length or 0
        return length > self.limit or len(self.received) >= length

    def flush(self) -> bool:
        """Send what can be sent without blocking; whether that was all. :raises OSError: the caller disconnected."""
        content = self.answer.content
        while content:
            try:
                del content[: self.sock.send(content)]
            except (BlockingIOError, InterruptedError):
                return False
        return True


class Worker(ThreadWorker):  # type: ignore[misc]
    """``gthread`` with the network in its event loop. ``part`` is its number among those that run at a time."""

    part: int | None = None

    def init_process(self) -> None:
        """Set up this process; runs the loop and returns when it ends."""
        self.cfg.set("keepalive", 0)
        self._waiting: dict[Stage, dict[Connection, float]] = {stage: {} for stage in SECONDS}
        self._working = dict.fromkeys(POOLS, 0)
        self._pools = {name: ThreadPoolExecutor(threads or self.cfg.threads) for name, threads in POOLS.items()}
        self._most = self._most_connections()
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """The threads for requests."""
        return self._pools[""]

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """:raises RuntimeError: gunicorn is configured for TLS."""
        if cfg.is_ssl:
            raise RuntimeError("this worker does not support TLS: leave it to the router in front")

    def load_wsgi(self) -> None:
        """Load the application, and ask it how its requests are to be read."""
        super().load_wsgi()
        extensions = getattr(self.wsgi, "extensions", {})
        self._limit: Callable[[str, Any], int] = extensions.get(BODY_LIMIT, lambda path, headers: MAX_BODY)
        self._pool_of_path: Callable[[str], str] = extensions.get(POOL_OF_PATH, lambda path: "")
        self._metrics: Metrics | None = extensions.get(METRICS)
        if self._metrics is not None and self.part is not None:
            self._metrics.join(self.part, self._in_use)
        self._events: Deliverer | None = extensions.get(EVENTS)
        if self._events is not None:
            self._events.start()

    def run(self) -> None:
        """Serve until stopped; then finish requests in progress."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.notify()
            free = self._working[""] < 2 * self.cfg.threads
            self.set_accept_enabled(free)
            self.wait_for_and_dispatch_events(timeout=1.0 if free else _PAUSE)
            if not free:
                self._accept_late()
            self._end_late()
        self.set_accept_enabled(False)
        now = time.monotonic()
        last, idle = now + self.cfg.graceful_timeout, now + STOP_KEEPALIVE_LINGER
        while self._is_needed(idle) and time.monotonic() < last:
            self.notify()
            self.wait_for_and_dispatch_events(timeout=_PAUSE)
            self._end_late()
        if self._events is not None:
            self._events.stop()
        for pool in self._pools.values():
            pool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()
        if self._metrics is not None:
            self._metrics.leave()

    def accept(self, listener: Any) -> None:
        """Accept a new connection; the request has often arrived already."""
        self._accept(listener)

    def handle(self, conn: Any) -> Any:
        """Make the response, in a thread, and send what can be sent without blocking."""
        try:
            self.handle_request(conn.request, _View(conn))
        except StopIteration:
            pass
        except Exception as error:
            self.handle_error(conn.request, conn.answer, conn.client, error)
        try:
            if conn.flush() and conn.is_read and not conn.sock.recv(1, socket.MSG_PEEK):
                conn.is_over = True
        except (BlockingIOError, InterruptedError):
            # Everything is sent and read; unread data would make the system reset the connection.
            conn.is_over = not conn.answer.content
        except OSError:
            conn.is_over = True
        if conn.is_over:
            conn.close()
        return False

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Send the rest of the response, in the event loop."""
        self._working[conn.pool] -= 1
        if conn.is_over:
            self.nr_conns -= 1
        elif conn.answer.content:
            self._await(conn, "answer")
        else:
            self._part(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Respond to a request that gunicorn could not read; it never reached the application."""
        if not isinstance(exc, ParseException) or isinstance(exc, ConfigurationProblem):
            super().handle_error(req, client, addr, exc)
            return
        if isinstance(exc, RepeatedKey):
            failure = Failure("invalid_idempotency_key", "expected one Idempotency-Key, not several")
        else:
            failure = Failure("bad_request", f"not a valid HTTP/1.1 request ({type(exc).__name__})")
        self._refuse(client, failure, type(exc).__name__)

    def handle_quit(self, sig: Any, frame: Any) -> None:
        """Stop at once."""
        for pool in self._pools.values():
            pool.shutdown(wait=False)
        super().handle_quit(sig, frame)

    def _in_use(self) -> dict[tuple[str, ...], float]:
        return {
            ("levelup_ov_threads",): self.cfg.threads,
            ("levelup_ov_threads_busy",): self._working[""],
            ("levelup_ov_connections",): self.nr_conns,
        }

    def _most_connections(self) -> int:
        """How many callers may be connected: each needs a file descriptor, and so do calls to providers."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.cfg.worker_connections + 1024
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
        return max(min(int(self.cfg.worker_connections), soft - 512), 64)

    def _accept(self, listener: Any) -> bool:
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return False
        if self.nr_conns >= self._most:
            self._make_room()
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, address, listener.getsockname())
        self._receive(conn)
        return True

    def _accept_late(self) -> None:
        """Accept what no other worker has accepted while all threads are busy: some requests need none of them."""
        for listener in self.sockets:
            listener.setblocking(False)
            for _ in range(_ACCEPTED_AT_ONCE):
                if not self._accept(listener):
                    break

    def _make_room(self) -> None:
        """Close the connection that has been silent the longest."""
        for stage in ("idle", "head", "leaving", "answer", "body"):
            if (conn := next(iter(self._waiting[stage]), None)) is not None:
                self._drop(conn)
                return

    def _is_needed(self, idle: float) -> bool:
        begun = any(self._working.values()) or any(self._waiting[stage] for stage in ("head", "body", "answer"))
        return bool(begun or (self._waiting["idle"] and time.monotonic() < idle))

    def _await(self, conn: Connection, stage: Stage) -> None:
        """Put a connection into a stage: the loop handles it when it is ready, or late."""
        self._waiting[stage][conn] = time.monotonic() + SECONDS[stage]
        event = selectors.EVENT_WRITE if stage == "answer" else selectors.EVENT_READ
        if conn.stage is None:
            self.poller.register(conn.sock, event, partial(self._on_ready, conn))
        else:
            del self._waiting[conn.stage][conn]
        conn.stage = stage

    def _take(self, conn: Connection) -> None:
        """Take a connection out of the loop."""
        if conn.stage is not None:
            del self._waiting[conn.stage][conn]
            conn.stage = None
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._take(conn)
        self.nr_conns -= 1
        conn.close()

    def _on_ready(self, conn: Connection, _sock: Any) -> None:
        # Handling one event may have closed a connection whose event is in the same list.
        if conn.stage is None:
            return
        if conn.stage != "answer":
            self._receive(conn)
            return
        try:
            sent = conn.flush()
        except OSError:
            self._drop(conn)
            return
        if sent:
            self._part(conn)

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(_RECEIVED_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            if conn.stage is None:
                self._await(conn, "idle")
            return
        except OSError:
            self._drop(conn)
            return
        if conn.stage == "leaving":
            conn.discarded += len(data)
            if not data or conn.discarded > DISCARDED:
                self._drop(conn)
            return
        conn.received += data
        if conn.request is None:
            self._read_head(conn, ended=not data)
        elif not data or conn.has_body():
            self._serve(conn)

    def _read_head(self, conn: Connection, *, ended: bool) -> None:
        end = conn.head_end()
        if end < 0 or end > LARGEST_HEAD:
            if len(conn.received) > LARGEST_HEAD:
                self._refuse_head(conn, LimitRequestHeaders("head"))
            elif ended:
                self._drop(conn)
            elif conn.stage in (None, "idle"):
                self._await(conn, "head" if conn.received else "idle")
            return
        conn.unreader = _Received(bytes(conn.received[:end]))
        del conn.received[:end]
        try:
            request = conn.request = Request(self.cfg, conn.unreader, conn.client)
            self._plan(conn, request)
        except Exception as error:
            self._refuse_head(conn, error)
            return
        if ended or conn.has_body():
            self._serve(conn)
            return
        if request._expected_100_continue:
            conn.answer.content += b"HTTP/1.1 100 Continue\r\n\r\n"
            try:
                conn.flush()
            except OSError:
                self._drop(conn)
                return
        request._expected_100_continue = False
        self._await(conn, "body")

    def _plan(self, conn: Connection, request: Any) -> None:
        """Decide how much of the body to wait for: nothing that the application would not read."""
        keys = 0
        for name, value in request.headers:
            if name == "CONTENT-LENGTH":
                conn.length = int(value)
            elif name == "IDEMPOTENCY-KEY":
                keys += 1
            elif name == "TRANSFER-ENCODING":
                conn.chunks = _Chunks()
        if keys > 1:
            # WSGI would join them: another key than that of the first try, and a second order (SUB-3).
            raise RepeatedKey
        if conn.length or conn.chunks is not None:
            conn.limit = self._limit(request.path, request.headers)

    def _serve(self, conn: Connection, failure: OSError | None = None) -> None:
        """Pass a request to a thread, with the received part of its body."""
        self._take(conn)
        unreader, request = conn.unreader, conn.request
        assert unreader is not None
        request._expected_100_continue = False
        framed = conn.length is not None or conn.chunks is not None
        length = conn.length or 0
        if conn.chunks is not None:
            conn.is_read = conn.limit > 0 and len(conn.received) <= conn.limit + FRAMING and failure is None
            unreader.failure = failure or (None if conn.is_read else OSError(errno.EMSGSIZE, "the body is too large"))
        else:
            conn.is_read = len(conn.received) <= length <= conn.limit or length == 0 == len(conn.received)
            if length > conn.limit:
                failure = failure or OSError(errno.EMSGSIZE, "the body is too large")
            unreader.failure = failure
        unreader.rest = bytes(conn.received) if framed else b""
        conn.received = bytearray()
        conn.pool = self._pool_of_path(request.path)
        self._working[conn.pool] += 1
        future: Future[Any] = self._pools[conn.pool].submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _refuse_head(self, conn: Connection, error: Exception) -> None:
        self.handle_error(None, conn.answer, conn.client, error)
        self._send_refusal(conn)

    def _send_refusal(self, conn: Connection) -> None:
        try:
            sent = conn.flush()
        except OSError:
            self._drop(conn)
            return
        if sent:
            self._part(conn)
        else:
            self._take(conn)
            self._await(conn, "answer")

    def _part(self, conn: Connection) -> None:
        """Stop sending, and close when the caller does: closing with unread data would lose the response."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        self._take(conn)
        self._await(conn, "leaving")

    def _end_late(self) -> None:
        now = time.monotonic()
        for stage, waiting in self._waiting.items():
            while waiting:
                conn, due = next(iter(waiting.items()))
                if due > now:
                    break
                if stage == "body":
                    self._serve(conn, TimeoutError(f"the body did not arrive within {SECONDS[stage]:g} seconds"))
                elif stage == "head":
                    late = Failure("bad_request", f"the head did not arrive within {SECONDS[stage]:g} seconds")
                    self._refuse(conn.answer, late, "timeout")
                    self._send_refusal(conn)
                else:
                    self._drop(conn)

    def _refuse(self, client: Any, failure: Failure, cause: str) -> None:
        request_id = str(uuid.uuid4())
        log.info("unreadable_request", extra={"request_id": request_id, "outcome": failure.code, "cause": cause})
        content = orjson.dumps(body(failure, request_id))
        head = (
            f"HTTP/1.1 {KINDS[failure.code].status} Bad Request\r\nConnection: close\r\nX-Request-ID: {request_id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + content)
        except OSError:
            log.info("unreadable_request_sender_gone", extra={"request_id": request_id})


class RepeatedKey(ParseException):  # type: ignore[misc]
    """A request has more than one Idempotency-Key."""


class _View:
    """A connection as gunicorn's WSGI side sees it."""

    def __init__(self, conn: Connection) -> None:
        self.sock, self.client, self.server = conn.answer, conn.client, conn.server
