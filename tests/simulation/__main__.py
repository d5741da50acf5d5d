"""``python -m tests.simulation N SEED``: N trials.

With ``--checkout``: of web checkout, with LevelUp's platform in the world. With ``--story``: the one trial of SEED,
step by step. With ``--mutants [NAME ...]``: for each, trials until it is found, at most N. ``--kinds``: tables of how
many trials met each kind of fault, and of the answers that guests got.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping

from tests.simulation.checkout_mutants import CHECKOUT_MUTANTS
from tests.simulation.mutants import COVERED, MUTANTS, Mutant
from tests.simulation.runner import CHECKOUT, ORDERING, Kind, Report, run, story
from tests.simulation.world import Things


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("trials", type=int)
    parser.add_argument("seed")
    parser.add_argument("--checkout", action="store_true", help="of web checkout, with LevelUp in the world")
    parser.add_argument("--story", action="store_true")
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--mutants", nargs="*", choices=[*MUTANTS, *CHECKOUT_MUTANTS])
    given = parser.parse_args()
    kind, mutants = (CHECKOUT, CHECKOUT_MUTANTS) if given.checkout else (ORDERING, MUTANTS)
    things = Things()
    try:
        if given.mutants is not None:
            chosen = {name: mutants[name] for name in given.mutants or mutants}
            return _mutants(chosen, given.trials, given.seed, things, kind, stories=given.story)
        if given.story:
            print(story(given.seed, things, kind))
            return 0
        report = run(_seeds(given.trials, given.seed), things, kind, report_failure=_show_failure, show=_show_progress)
    finally:
        things.close()
    _show(report)
    if given.kinds:
        _show_counts("trials that met", report.met)
        _show_counts("answers", report.answers)
    return 1 if report.failures else 0


def _seeds(trials: int, seed: str) -> list[str]:
    return [f"{seed}/{number}" for number in range(trials)]


def _show_failure(seed: str, kind: str, words: str) -> None:
    print(f"FAILURE, {kind}: {words}  (python -m tests.simulation 1 {seed} --story)", flush=True)


def _show(report: Report) -> None:
    print(f"{report.trials} trials, {report.trials / report.seconds:.0f} a second of one core, {report.orders} orders")
    print(f"{len(report.failures)} failures")


def _show_progress(report: Report) -> None:
    print(f"... {report.trials + 1} trials, {len(report.failures)} failures", flush=True)


def _show_counts(what: str, counts: Counter[str]) -> None:
    print(f"\n{what:32} {'number':>9}")
    for name, count in sorted(counts.items()):
        print(f"{name:32} {count:>9}")


def _mutants(
    mutants: Mapping[str, Mutant], trials: int, seed: str, things: Things, kind: Kind, *, stories: bool
) -> int:
    missed = 0
    print(f"{'mutant':28} {'found after':>12}  how it shows", flush=True)
    for name, mutant in mutants.items():
        with mutant():
            report = run(_seeds(trials, seed), things, kind, until_failure=True)
            found = f"{report.trials} trials" if report.failures else "NOT FOUND"
            shows = "; ".join(f"{kind}: {words}" for _, kind, words in report.failures[:2])
            print(f"{name:28} {found:>12}  {shows}", flush=True)
            if stories and report.failures:
                print(story(report.failures[0][0], things, kind))
        missed += not report.failures
    if kind is ORDERING:
        for rule, reason in COVERED.items():
            print(f"not tried: {rule}: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
