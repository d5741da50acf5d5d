"""``python -m tests.simulation N SEED``: N trials. With ``--story``: the one trial of SEED, told."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.runner import run, story
from tests.simulation.world import Things


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("trials", type=int)
    parser.add_argument("seed")
    parser.add_argument("--story", action="store_true")
    given = parser.parse_args()
    things = Things()
    try:
        if given.story:
            print(story(given.seed, things))
            return 0
        report = run((f"{given.seed}/{number}" for number in range(given.trials)), things)
    finally:
        things.close()
    print(f"{report.trials} trials, {report.trials / report.seconds:.0f} a second of one core, {report.orders} orders")
    print("met:", ", ".join(f"{name} {count}" for name, count in report.met.most_common()))
    print("told:", ", ".join(f"{name} {count}" for name, count in report.told.most_common()))
    for seed, kind, words in report.failures[:30]:
        print(f"FAILURE, {kind}: {words}  (python -m tests.simulation 1 {seed} --story)")
    print(f"{len(report.failures)} failures")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
