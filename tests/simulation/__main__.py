"""``python -m tests.simulation N SEED``: N trials.

With ``--story``: the one trial of SEED, told. With ``--mutants [NAME ...]``: for each, trials until it is found, N at
the most.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.mutants import MUTANTS
from tests.simulation.runner import Report, run, story
from tests.simulation.world import Things


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("trials", type=int)
    parser.add_argument("seed")
    parser.add_argument("--story", action="store_true")
    parser.add_argument("--mutants", nargs="*", choices=list(MUTANTS))
    given = parser.parse_args()
    things = Things()
    try:
        if given.mutants is not None:
            return _mutants(given.mutants or list(MUTANTS), given.trials, given.seed, things, tells=given.story)
        if given.story:
            print(story(given.seed, things))
            return 0
        report = run(_seeds(given.trials, given.seed), things, tell=_tell)
    finally:
        things.close()
    _show(report)
    return 1 if report.failures else 0


def _seeds(trials: int, seed: str) -> list[str]:
    return [f"{seed}/{number}" for number in range(trials)]


def _tell(seed: str, kind: str, words: str) -> None:
    print(f"FAILURE, {kind}: {words}  (python -m tests.simulation 1 {seed} --story)", flush=True)


def _show(report: Report) -> None:
    print(f"{report.trials} trials, {report.trials / report.seconds:.0f} a second of one core, {report.orders} orders")
    print("met:", ", ".join(f"{name} {count}" for name, count in report.met.most_common()))
    print("told:", ", ".join(f"{name} {count}" for name, count in report.told.most_common()))
    print(f"{len(report.failures)} failures")


def _mutants(names: list[str], trials: int, seed: str, things: Things, *, tells: bool) -> int:
    missed = 0
    print(f"{'mutant':28} {'found after':>12}  how it shows", flush=True)
    for name in names:
        with MUTANTS[name]():
            report = run(_seeds(trials, seed), things, until_failure=True)
            found = f"{report.trials} trials" if report.failures else "NOT FOUND"
            shows = "; ".join(f"{kind}: {words}" for _, kind, words in report.failures[:2])
            print(f"{name:28} {found:>12}  {shows}", flush=True)
            if tells and report.failures:
                print(story(report.failures[0][0], things))
        missed += not report.failures
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
