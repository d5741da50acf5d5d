"""What counting and the workbench's recording cost a validation: ``python -m bench.counting [counting|recording]``.

The service in this process, with its sandbox, makes blocks of validations in turns, in random order. ``counting``: for
``/metrics``, or not. ``recording``: by the workbench; without it, as in production; and twice by a build from which the
line that asks for it is cut out, whose two results say which difference this machine can measure.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import random
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.metrics import METRICS
from levelup_ov.transport import session
from tests.channel import order

ROUNDS, BLOCK = 40, 25
HOOK = """\
            if self._transport.watch is not None:
                self._transport.watch(self, call, request.url or "", _bytes(request), reply)
"""

Way = Callable[[], object]
"""Switches to one way; the next block is measured so."""


def counting(app: Flask) -> Mapping[str, Way]:
    """Counted, and not."""
    metrics = app.extensions[METRICS]
    count = metrics.request
    return {
        "not counting": lambda: setattr(metrics, "request", lambda *_: None),
        "counting": lambda: setattr(metrics, "request", count),
    }


def recording(app: Flask) -> Mapping[str, Way]:
    """Recorded, not, and without the line that asks."""
    transport, watch = app.extensions["levelup_ov"].transport, app.extensions["levelup_ov"].transport.watch
    hooks = app.before_request_funcs, app.after_request_funcs
    begin, end = ([each for each in found[None] if "workbench" in each.__module__] for found in hooks)
    as_is = session.Session._send
    source = textwrap.dedent(inspect.getsource(as_is))
    assert textwrap.dedent(HOOK).strip().splitlines()[0] in source
    cut = source.replace(textwrap.indent(textwrap.dedent(HOOK), "        "), "")
    assert len(cut.splitlines()) == len(source.splitlines()) - 2
    scope: dict[str, Any] = {}
    exec(cut, vars(session), scope)

    def switch(send: Any, *, records: bool) -> None:
        session.Session._send = send  # type: ignore[method-assign]
        transport.watch = watch if records else None
        for found, ours in zip(hooks, (begin, end), strict=True):
            others = [each for each in found[None] if each not in ours]
            found[None][:] = others + ours if records else others

    def without() -> None:
        switch(scope["_send"], records=False)

    return {
        "without the line": without,
        "without it again": without,
        "off, as in production": lambda: switch(as_is, records=False),
        "recording": lambda: switch(as_is, records=True),
    }


def main() -> None:
    """The command."""
    subjects = {"counting": counting, "recording": recording}
    parser = argparse.ArgumentParser(prog="python -m bench.counting")
    parser.add_argument("what", nargs="?", choices=[*subjects], default="counting")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="bench-counting-") as directory:
        app = create_app(load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": directory}))
        client = app.test_client()
        body = json.dumps({"order_validation": order()})
        headers = {"Authorization": "token dev-key", "Content-Type": "application/json"}

        def milliseconds() -> float:
            began = time.thread_time()
            for _ in range(BLOCK):
                answer = client.post("/locations/sandbox.congress/order_validations", data=body, headers=headers)
                assert answer.status_code == 200, answer.text
            return (time.thread_time() - began) / BLOCK * 1000

        ways = subjects[given.what](app)
        took: dict[str, list[float]] = {name: [] for name in ways}
        # Nobody counts the first block.
        milliseconds()
        for _ in range(given.rounds):
            for name in random.sample([*ways], len(ways)):
                ways[name]()
                took[name].append(milliseconds())
        first = next(iter(took.values()))
        for name, times in took.items():
            ratio = median(one / other for one, other in zip(times, first, strict=True))
            print(f"{name:22} {median(times):.3f} ms of CPU, fastest {min(times):.3f}; by the first {ratio:.3f}")


if __name__ == "__main__":
    main()
