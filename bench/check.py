"""Does everything here still run? ``python -m bench.check``

Each measurement is made once, as short as it can be, and its figures are thrown away. What a failed one wrote is
printed. ``--against``, which needs a second build, is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

COMMANDS = (
    "run --check",
    "flat sqlite menu --check",
    "console --rows 1000 --rounds 1",
    "ahead --rounds 1",
    "events delay --quick",
    "events watch --quick",
    "events cost --quick",
    "sessions --rounds 1",
    "hostile connections --number 100 --requests 20",
    "hostile bodies",
    "counting counting --rounds 1",
    "counting recording --rounds 1",
)
"""The longest first, so that all cores are busy until the end."""


def _check(command: str) -> bool:
    began = time.monotonic()
    run = [sys.executable, "-m", *f"bench.{command}".split()]
    done = subprocess.run(run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"bench.{command}: {time.monotonic() - began:.0f} s", flush=True)
    if done.returncode:
        print(f"{done.stdout[-6000:]}\nbench.{command} ended with {done.returncode}", flush=True)
    return done.returncode == 0


def main() -> None:
    """The command."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sys.exit(not all([*pool.map(_check, COMMANDS)]))


if __name__ == "__main__":
    main()
