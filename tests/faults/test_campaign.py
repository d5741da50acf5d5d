"""Whatever the network and the processes do: at most one order, none lost, every outcome reconciled.

The long campaign is ``make faults``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.campaign import Report, run
from tests.faults.mutants import MUTATION
from tests.servers.postgres import PostgresServer

SUBMISSIONS = 50
SESSIONS = 30
AT_ONCE = 4
"""Campaigns: with more, clients on a small machine give up before they are served."""


MUTANTS = {
    "Forgetful": "answer lost",
    "Optimist": "5xx after forwarding",
    "absent_at_once": "delivered late",
    "Credulous": "reset after reading",
    "answer_of_another": "another guest's",
    "any_2xx": "2xx without proof",
    "order_not_kept": "201, not kept",
}
"""Broken services, and the fault by which each shows."""
PROVIDER = {"order_not_kept": "fftp", "absent_at_once": "fftp"}
"""Where it shows with this provider only."""


@pytest.fixture(scope="module")
def campaigns(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Mapping[str, Report]]:
    """All campaigns of this module; they wait most of the time, so some run at once."""
    names = ["sqlite", "sessions", *MUTANTS]
    try:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        names.append("postgresql")
    except pytest.skip.Exception:
        pass  # its own test says so

    # Made one by one: pytest's own directories are not made for threads.
    directories = {name: tmp_path_factory.mktemp(name) for name in names}

    def campaign(name: str) -> Report:
        directory = directories[name]
        url = f"sqlite:///{directory}/ledger.db"
        if name in MUTANTS:
            return run(
                directory, url, submissions=24, seed="1", app="tests.faults.mutants:app", patience=15, disturbed=False,
                only=MUTANTS[name], more={MUTATION: name}, provider=PROVIDER.get(name, "sandbox"), reconciling=20,
            )  # fmt: skip
        if name == "postgresql":
            url = postgres.url(postgres.create_database())
        submissions = SESSIONS if name == "sessions" else SUBMISSIONS
        return run(directory, url, submissions=submissions, seed="1", patience=12, sessions=name == "sessions")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield dict(zip(names, pool.map(campaign, names), strict=True))


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5", "PAY-2")
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
def test_engine_ledger_and_clients_agree_after_a_campaign(
    campaigns: Mapping[str, Report], ledger: str, request: pytest.FixtureRequest
) -> None:
    if ledger == "postgresql":
        request.getfixturevalue("postgres")
    report = campaigns[ledger]
    assert not report.violations, report.table()
    # It was a campaign: orders were placed, and some only after their outcome had been unknown.
    assert report.total.placed > SUBMISSIONS / 4
    assert report.total.resolved > SUBMISSIONS / 10


@pytest.mark.rule("SUB-2", "SUB-5", "PAY-2")
def test_sessions_of_agents_have_one_order_each(campaigns: Mapping[str, Report]) -> None:
    report = campaigns["sessions"]
    assert not report.violations, report.table()
    assert report.total.placed > SESSIONS / 4


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("mutant", ["Forgetful", "Optimist", "absent_at_once"])
def test_a_campaign_sees_duplicates_of_forgotten_claims(campaigns: Mapping[str, Report], mutant: str) -> None:
    report = campaigns[mutant]
    assert report.total.duplicates > 0, report.table()
    assert any("orders of" in violation for violation in report.violations)


@pytest.mark.rule("SUB-5")
def test_a_campaign_sees_orders_lost_by_believing_unknowns(campaigns: Mapping[str, Report]) -> None:
    assert campaigns["Credulous"].total.lost > 0, campaigns["Credulous"].table()


@pytest.mark.rule("SUB-8")
def test_a_campaign_sees_who_gets_anothers_number(campaigns: Mapping[str, Report]) -> None:
    assert campaigns["answer_of_another"].anothers > 0, campaigns["answer_of_another"].table()


@pytest.mark.rule("SUB-10")
def test_a_campaign_sees_look_ups_that_prove_nothing(campaigns: Mapping[str, Report]) -> None:
    assert campaigns["any_2xx"].second > 0, campaigns["any_2xx"].table()


@pytest.mark.rule("SUB-8")
def test_a_campaign_sees_orders_that_were_not_kept(campaigns: Mapping[str, Report]) -> None:
    assert campaigns["order_not_kept"].not_held > 0, campaigns["order_not_kept"].table()
