"""The campaign's network, a process of its own: ``python -m tests.faults.network ENGINE_PORT PORTS SEED [FAULT]``.

With FAULT, only this one is done, and only to calls that place an order (or to those that look one up). Prints its ports, then obeys the
lines of its standard input: ``closed PORT SECONDS``, ``deaf PORT SECONDS``, ``calm`` (no more faults) and
``report``, which prints what was done to whom.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from typing import TypedDict

from tests.faults.proxy import FAULTS, NONE, Call, Proxy

SHARE = {"order": 0.6, "placing": 0.6, "lookup": 0.45, "orders": 0.35, "locations": 0.3}
PLACING = ("order", "placing")
LOOKING_UP = ("lookup", "orders")
OF_LOOK_UPS = ("2xx without proof", "nothing, late")
"""Done alone, these are done to look-ups, and what is looked up has lost its answer."""
"""How often a call of a kind meets a fault; other kinds as ``OTHERWISE``."""
OTHERWISE = 0.3
WEARY = 3
"""After so many calls of a kind a submission meets half as many faults, so that it comes to an end."""
_NAMES = [name for name in FAULTS if name != NONE]
# What takes long comes seldom, what deceives comes often.
_WEIGHT = {
    "headers dripped": 0.4, "body dripped": 0.4, "429, Retry-After": 0.6,
    "delivered late": 3.0, "answer lost": 2.0, "delivered twice": 2.0, "answered badly, then late": 3.0,
    "103, then late": 0.4, "another guest's": 2.0,
}  # fmt: skip
_WEIGHTS = [_WEIGHT.get(name, 1.0) for name in _NAMES]


class Done(TypedDict):
    """What a report holds: calls by fault, faults and calls by marker, how often a redirect was followed."""

    calls: dict[str, int]
    met: dict[str, list[str]]
    calls_of: dict[str, list[str]]
    trapped: int
    forwarded: int


class Chance:
    """Chooses by seed, marker, kind and number of the call alone, whatever the threads do."""

    def __init__(self, seed: str, only: str | None = None) -> None:
        self._seed = seed
        self._only = only
        self.calm = False

    def __call__(self, call: Call) -> str:
        chosen = self._only
        if chosen in OF_LOOK_UPS and call.kind in PLACING:
            chosen = "answer lost"
        elif chosen and call.kind not in (LOOKING_UP if chosen in OF_LOOK_UPS else PLACING):
            return NONE
        if self.calm:
            return NONE
        dice = random.Random(f"{self._seed}/{call.marker}/{call.kind}/{call.number}")
        share = SHARE.get(call.kind, OTHERWISE) / (2 if call.number >= WEARY else 1)
        return (chosen or dice.choices(_NAMES, _WEIGHTS)[0]) if dice.random() < share else NONE


def report(proxy: Proxy) -> Done:
    met: dict[str, set[str]] = {}
    calls_of: dict[str, list[str]] = {}
    for call, name in proxy.calls:
        if call.marker:
            calls_of.setdefault(call.marker, []).append(call.kind if name == NONE else f"{call.kind}: {name}")
        if call.marker and name != NONE:
            met.setdefault(call.marker, set()).add(name)
    return {
        "calls": dict(Counter(name for _, name in proxy.calls)),
        "met": {marker: sorted(names) for marker, names in met.items()},
        "calls_of": calls_of,
        "trapped": proxy.trapped,
        "forwarded": len(proxy.forwarded),
    }


def main(engine_port: int, ports: int, seed: str, only: str | None = None) -> None:
    chance = Chance(seed, only)
    proxy = Proxy(engine_port, chance, ports=ports, seed=seed)
    print(json.dumps(proxy.ports), flush=True)

    def close_for(how: str, port: int, seconds: float) -> None:
        with (proxy.closed if how == "closed" else proxy.deaf)(port):
            time.sleep(seconds)

    for line in sys.stdin:
        match line.split():
            case ["calm"]:
                chance.calm = True
            case ["report"]:
                print(json.dumps(report(proxy)), flush=True)
            case [("closed" | "deaf") as how, port, seconds]:
                threading.Thread(target=close_for, args=(how, int(port), float(seconds)), daemon=True).start()
    proxy.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
