"""What the transport needs of the operating system: clock, resolver and sockets, in one place.

Everything else of the transport runs unchanged over other functions under these names, such as those of a
simulated network. A socket is used by its ``settimeout``, ``sendall``, ``recv_into``, ``makefile("rb")`` and ``close``
only.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read

Address = tuple[Any, Any, int, str, Any]
"""Family, kind, protocol, canonical name and address, as :func:`socket.getaddrinfo` gives them."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
_RESET = struct.pack("ii", 1, 0)
"""Of ``SO_LINGER``: on, for no time."""


def now() -> float:
    """Seconds of a clock that cannot be set and, where the system has one, counts the time of a suspended host."""
    return time.clock_gettime(_CLOCK)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def resolve(host: str, port: int, seconds: float) -> Sequence[Address]:
    """The addresses of ``host``, within ``seconds``; a numeric one has only itself.

    The system's own resolver knows no limit: it runs in a thread, one for all that ask for the same host.

    :raises OSError: there is none; :class:`TimeoutError`: there was no answer in time.
    :raises ValueError: ``host`` cannot be a name.
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
            # One address that does not answer leaves the others their share of the time.
            sock.settimeout(max((end - now()) / (len(addresses) - tried), 0.001))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def is_readable(sock: Any) -> bool:
    """Whether something waits to be read: bytes, or the end of the connection.

    The messages of TLS itself, such as its tickets, are none: they are taken in.
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
    """Bound how long what is sent may wait in this host, and for its receipt; then the connection breaks."""
    sock.settimeout(seconds)
    if _USER_TIMEOUT is not None:
        _outer(sock).setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(int(seconds * 1000), 1))


def reset(sock: Any) -> None:
    """Have the connection reset when it is closed: what it has not sent yet is thrown away, not delivered."""
    try:
        _outer(sock).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # it is gone already


def _outer(sock: Any) -> Any:
    """What carries TLS within the TLS of a proxy; the socket itself for everything else."""
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
    """One look-up, for everybody who waits for it."""

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


def _forget_lookups() -> None:
    """In a new process the threads of the old one do not run."""
    global _lock
    _lock = threading.Lock()
    _lookups.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lookups)
