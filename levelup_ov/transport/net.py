"""What the transport uses from the operating system, in one place: clock, resolver and sockets.

The rest of the transport also works with replacements for these functions, such as a simulated network. Of a socket
it uses only ``settimeout``, ``sendall``, ``recv_into``, ``makefile("rb")`` and ``close``.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read

T = TypeVar("T")
Address = tuple[Any, Any, int, str, Any]
"""Family, kind, protocol, canonical name and address, as in :func:`socket.getaddrinfo`."""

MOST_BESIDE = 1000
"""Threads for :func:`beside`, so many that no work waits for one: each request has at most one, for some seconds."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
_RESET = struct.pack("ii", 1, 0)
"""Of ``SO_LINGER``: on, for no time."""


def now() -> float:
    """Seconds of a clock that cannot be set and, if possible, includes the time that the host is suspended."""
    return time.clock_gettime(_CLOCK)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def beside(work: Callable[[], T]) -> Future[T]:
    """Start ``work`` in another thread; only ``result`` and ``add_done_callback`` of the future are used.

    An idle thread is used again: starting one costs 3 to 7 % of the CPU of charge and submit.
    """
    return _threads.submit(work)


def resolve(host: str, port: int, seconds: float) -> Sequence[Address]:
    """The addresses of ``host``, within ``seconds``; a numeric host has only its own.

    The system's resolver has no time limit, so it runs in a thread, one for all requests for the same host.

    :raises OSError: there is no address; :class:`TimeoutError`: there was no answer in time.
    :raises ValueError: ``host`` is not a valid name.
    """
    if (address := _numeric(host, port)) is not None:
        return [address]
    with _lock:
        if (lookup := _lookups.get((host, port))) is None:
            lookup = _lookups[host, port] = _Lookup(host, port)
            threading.Thread(target=lookup.run, name="resolver", daemon=True).start()
    if not lookup.done.wait(max(seconds, 0)):
        raise TimeoutError("the name was not resolved in time")
    return lookup.result()


def connect(addresses: Sequence[Address], seconds: float) -> socket.socket:
    """A connection to the first address that answers, all attempts together within ``seconds``.

    :raises OSError: none did; :class:`TimeoutError`: the last of them not in time.
    """
    end = now() + seconds
    failure: OSError = TimeoutError("no time was left to connect")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # An address that does not answer leaves time for the others.
            sock.settimeout(max((end - now()) / (len(addresses) - tried), 0.001))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def is_readable(sock: Any) -> bool:
    """Whether there is something to read: bytes, or the end of the connection.

    Messages of TLS itself, such as tickets, do not count: they are consumed.
    """
    if not isinstance(sock, (ssl.SSLSocket, SSLTransport)):
        return wait_for_read(sock, timeout=0.0)
    if (sock.sslobj if isinstance(sock, SSLTransport) else sock).pending():
        return True
    if not wait_for_read(_outer(sock), timeout=0.0):
        return False
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
        return True
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(timeout)


def limit_sending(sock: Any, seconds: float) -> None:
    """Limit how long sent data may wait in this host and for its acknowledgment; then the connection breaks."""
    sock.settimeout(seconds)
    if _USER_TIMEOUT is not None:
        _outer(sock).setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(int(seconds * 1000), 1))


def reset(sock: Any) -> None:
    """Reset the connection when it is closed: unsent data is discarded, not delivered."""
    try:
        _outer(sock).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # it is closed already


def _outer(sock: Any) -> Any:
    """The transport of TLS within a proxy's TLS; otherwise the socket itself."""
    return sock.socket if isinstance(sock, SSLTransport) else sock


def _numeric(host: str, port: int) -> Address | None:
    for family, kept in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", kept
    return None


class _Lookup:
    """One look-up, shared by all waiting threads."""

    def __init__(self, host: str, port: int) -> None:
        self._key = host, port
        self.done = threading.Event()
        self.result: Callable[[], Sequence[Address]] = list

    def run(self) -> None:
        try:
            found: Sequence[Address] = socket.getaddrinfo(*self._key, type=socket.SOCK_STREAM)
            self.result = lambda: found
        except Exception as error:
            failure = error

            def fail() -> Sequence[Address]:
                raise failure

            self.result = fail
        finally:
            with _lock:
                _lookups.pop(self._key, None)
            self.done.set()


_lookups: dict[tuple[str, int], _Lookup] = {}
_lock = threading.Lock()
_threads = ThreadPoolExecutor(MOST_BESIDE, "beside")


def _forget_threads() -> None:
    """After a fork, the threads of the parent do not run."""
    global _lock, _threads
    _lock = threading.Lock()
    _lookups.clear()
    _threads = ThreadPoolExecutor(MOST_BESIDE, "beside")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
