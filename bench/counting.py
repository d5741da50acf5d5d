"""What counting costs a validation: ``python -m bench.counting``.

The service in this process, with its sandbox, counts a block of validations and then does not, in random order.
"""

from __future__ import annotations

import json
import logging
import random
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.metrics import METRICS
from tests.channel import order

ROUNDS, BLOCK = 40, 25


def main() -> None:
    """The command."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="bench-counting-") as directory:
        app = create_app(load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": directory}))
        metrics, client = app.extensions[METRICS], app.test_client()
        body = json.dumps({"order_validation": order()})
        headers = {"Authorization": "token dev-key", "Content-Type": "application/json"}

        def milliseconds(count: Callable[..., Any]) -> float:
            metrics.request = count
            began = time.thread_time()
            for _ in range(BLOCK):
                answer = client.post("/locations/sandbox.congress/order_validations", data=body, headers=headers)
                assert answer.status_code == 200, answer.text
            return (time.thread_time() - began) / BLOCK * 1000

        ways: dict[str, Callable[..., Any]] = {"counting": metrics.request, "not counting": lambda *_: None}
        took: dict[str, list[float]] = {name: [] for name in ways}
        # Nobody counts the first block.
        milliseconds(ways["counting"])
        for _ in range(ROUNDS):
            for name in random.sample([*ways], len(ways)):
                took[name].append(milliseconds(ways[name]))
        on, off = (median(times) for times in took.values())
        print(f"CPU of a validation: {on:.3f} ms counting, {off:.3f} ms not counting: {on / off:.3f}")


if __name__ == "__main__":
    main()
