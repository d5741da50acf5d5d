"""``/metrics``: what Prometheus reads, across workers, and the alerts that are made of it."""

from __future__ import annotations

import copy
import http.client
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from bench.hostile import BODY, PATH, ask
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.domain.location import Listed, Location
from levelup_ov.errors import Unanswered
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.metrics import Metrics
from levelup_ov.metrics.families import FAMILIES, WATCHED
from levelup_ov.metrics.shared import SharedParts
from levelup_ov.transport.session import Call
from tests.channel import Channel
from tests.contract.fakes import FakeAdapter
from tests.faults.stack import children, kill
from tests.ledger.helpers import begin, claim, claimed
from tests.servers.gateway import Gateway
from tests.servers.process import from_debian, required

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "docs" / "operating" / "alerts.yml"
RULES = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
VALIDATED = 'levelup_ov_requests_total{account="sandbox",operation="validate_order",outcome="ok"}'

Samples = Mapping[str, float]


def samples(text: str) -> Samples:
    """The numbers of a page, by metric and labels as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape(app: Flask, key: str = "dev-key") -> Samples:
    answer = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {key}", "Accept": "text/plain"})
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/plain"
    return samples(answer.text)


def test_requests_and_provider_calls_are_counted(channel: Channel) -> None:
    assert channel.validate().status == 200
    assert channel.validate(items=[]).status == 422
    body = {"order_number": "one"}
    assert channel.submit(**body).status == channel.submit(**body).status == 200
    found = scrape(channel.app)
    assert found[VALIDATED] == 1
    assert found['levelup_ov_request_seconds_count{operation="validate_order"}'] == 2
    assert found['levelup_ov_request_seconds_bucket{le="+Inf",operation="validate_order"}'] == 2
    for outcome in ("ok", "replayed"):
        name = f'levelup_ov_requests_total{{account="sandbox",operation="submit_order",outcome="{outcome}"}}'
        assert found[name] == 1
    submitted = 'account="sandbox",operation="submit_order"'
    assert found[f'levelup_ov_provider_calls_total{{{submitted},outcome="2xx"}}'] >= 1
    assert found[f"levelup_ov_provider_call_seconds_count{{{submitted}}}"] >= 1
    assert found["levelup_ov_ready"] == 1


def test_every_number_is_of_a_metric_with_a_meaning(channel: Channel) -> None:
    channel.submit()
    parts = re.compile(r"_(bucket|count|sum)$")
    named = {name.partition("{")[0] for name in scrape(channel.app)}
    assert named
    assert {name if name in FAMILIES else parts.sub("", name) for name in named} <= set(FAMILIES)


def test_a_key_for_metrics_opens_nothing_else(make_app: Callable[..., Flask]) -> None:
    app = make_app(LEVELUP_OV_METRICS_KEYS="a-key-of-prometheus")
    assert scrape(app, "a-key-of-prometheus") and scrape(app)
    watcher, stranger = Channel(app, "a-key-of-prometheus"), Channel(app, "another-key")
    assert watcher.validate().status == watcher.get("/merchants").status == 401
    assert stranger.get("/metrics").status == 401


@pytest.mark.parametrize(
    ("key", "wrong"), [("dev-key", "with which orders can be placed"), ("no blanks", "not valid in a header")]
)
def test_a_key_for_metrics_is_checked_at_the_start(environ: dict[str, str], key: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({**environ, "LEVELUP_OV_METRICS_KEYS": key})
    assert wrong in str(refused.value)


@pytest.mark.rule("LOC-3")
def test_one_restaurant_that_is_refused_is_named(fake: Callable[..., tuple[FakeAdapter, Channel]]) -> None:
    adapter, channel = fake()
    one, gone = Location("one", "One"), Unanswered("provider_credentials_refused", "no access", sent=False)
    adapter.locations = Listed([one], {"two": gone})
    assert channel.get("/merchants/fake/locations").status == 200
    found = scrape(channel.app)
    code = 'code="provider_credentials_refused"'
    assert found[f'levelup_ov_location_unread{{account="fake",{code},location="fake.two"}}'] == 1
    assert found[f'levelup_ov_location_failures_total{{account="fake",{code}}}'] == 1
    assert not any("fake.one" in name for name in found)
    assert scrape(channel.app)[f'levelup_ov_location_failures_total{{account="fake",{code}}}'] == 1


def test_however_many_locations_fail_few_are_named(fake: Callable[..., tuple[FakeAdapter, Channel]]) -> None:
    adapter, channel = fake()
    gone = Unanswered("provider_timeout", "slow", sent=True)
    adapter.locations = Listed([], {f"{number}": gone for number in range(500)})
    channel.get("/merchants/fake/locations")
    found = scrape(channel.app)
    assert sum(name.startswith("levelup_ov_location_unread") for name in found) == 100
    assert found['levelup_ov_location_failures_total{account="fake",code="provider_timeout"}'] == 500


def test_what_is_not_settled_is_counted_with_its_age(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = app.extensions["levelup_ov"].submissions.ledger
    ids = [claimed(claim(ledger, name.encode(), idempotency_key=name)) for name in ("one", "two", "three")]
    for id in ids[:2]:
        begin(ledger, id)
        ledger.transitions.lose(id)
    ledger.transitions.fail(ids[2])
    later = time.time_ns() + 90 * 10**9
    monkeypatch.setattr("levelup_ov.ledger.clocks.time.time_ns", lambda: later)
    found = scrape(app)
    assert found['levelup_ov_submissions{account="deli",state="unknown"}'] == 2
    assert found['levelup_ov_submissions_oldest_seconds{account="deli",state="unknown"}'] >= 90
    assert sum(name.startswith("levelup_ov_submissions{") for name in found) == 1


def test_a_ledger_in_trouble_leaves_the_page_whole(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LedgerUnavailable

    monkeypatch.setattr("levelup_ov.ledger.ledger.Ledger.ready", fail)
    Channel(app).validate()
    found = scrape(app)
    assert found["levelup_ov_ready"] == 0
    assert found[VALIDATED] == 1


def test_the_half_that_was_not_written_to_its_end_is_not_read() -> None:
    parts = SharedParts(2, 100)
    assert parts.read(1)[0] == b""
    assert parts.publish(1, b"first") and parts.publish(1, b"second")
    assert parts.read(1)[0] == b"second" and parts.read(0)[0] == b""
    assert not parts.publish(1, b"x" * 101)
    assert parts.read(1)[0] == b"second"


class TwoWorkers(Gateway):
    """The service with two workers."""

    def scrape(self) -> Samples:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics", headers={"Authorization": "token dev-key"})
        found = samples(connection.getresponse().read().decode())
        connection.close()
        return found


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def two_workers() -> Iterator[TwoWorkers]:
    with TwoWorkers(WEB_CONCURRENCY="2", LEVELUP_OV_THREADS="2") as server:
        yield server


def test_any_worker_shows_the_numbers_of_all(two_workers: TwoWorkers) -> None:
    before = two_workers.scrape().get(VALIDATED, 0)
    for _ in range(20):
        assert ask(two_workers.port, "POST", PATH, BODY)[0] == 200
    until(lambda: two_workers.scrape().get(VALIDATED) == before + 20)
    # Both have published: each shows the same, and no number ever falls.
    assert {two_workers.scrape()[VALIDATED] for _ in range(10)} == {before + 20}
    assert two_workers.scrape()["levelup_ov_workers"] == 2


def test_what_a_killed_worker_had_counted_stays(two_workers: TwoWorkers) -> None:
    counted = two_workers.scrape().get(VALIDATED, 0) + 10
    for _ in range(10):
        assert ask(two_workers.port, "POST", PATH, BODY)[0] == 200
    until(lambda: two_workers.scrape().get(VALIDATED) == counted)
    killed = children(two_workers.pid)
    for pid in killed:
        kill(pid)
    until(lambda: len(set(children(two_workers.pid)) - set(killed)) == 2 and two_workers.answers())
    assert two_workers.scrape()[VALIDATED] == counted


def test_every_alert_is_of_metrics_and_events_that_exist() -> None:
    text = " ".join(rule["expr"] for rule in RULES)
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"levelup_ov_\w+", text)} - {"levelup_ov"}
    assert named and named <= set(FAMILIES)
    [events] = re.findall(r'event=~"([^"]*)"', text)
    assert set(events.split("|")) == set(WATCHED)
    guide = (ROOT / "docs" / "operating.rst").read_text(encoding="utf-8")
    assert [event for event in WATCHED if f"``{event}``" not in guide] == []


SERIES = {
    "ServiceDown": 'up{job="levelup_ov"} 0',
    "SubmissionsRefused": "levelup_ov_ready 0",
    "SubmissionUnknown": 'levelup_ov_submissions_oldest_seconds{account="a",state="unknown"} 1000',
    "PersonNeeded": 'levelup_ov_events_total{event="charge_mismatch"} 0+1x60',
    "CredentialsRefused": 'levelup_ov_requests_total{account="a",outcome="provider_credentials_refused"} 0+9x60',
    "InternalErrors": 'levelup_ov_requests_total{operation="o",outcome="internal_error"} 0+9x60',
    "ProviderDown": 'levelup_ov_breakers_open{account="a"} 2',
    "ProviderBusy": 'levelup_ov_requests_total{account="a",outcome="provider_busy"} 0+9x60',
    "ProviderNotUnderstood": 'levelup_ov_requests_total{account="a",outcome="menu_invalid"} 0+9x60',
    "LocationUnread": 'levelup_ov_location_unread{account="a",location="a.1",code="c"} 1',
    "EventsWaiting": 'levelup_ov_outbox_oldest_seconds{receiver="channel",state="waiting"} 900',
    "DeadlineNear": 'levelup_ov_request_seconds_bucket{operation="o",le="14"} 0+9x60',
    "ConsoleKeysTried": 'levelup_ov_events_total{event="console_key_refused"} 0+9x60',
    "ThreadsBusy": "levelup_ov_threads_busy 64",
    "LedgerConnectionsUsed": "levelup_ov_ledger_connections 8",
}
"""What raises each alert."""
SOUND = (
    'up{job="levelup_ov"} 1',
    "levelup_ov_ready 1",
    "levelup_ov_threads 64",
    "levelup_ov_ledger_connections_limit 8",
    'levelup_ov_deadline_seconds{operation="o"} 14',
    'levelup_ov_request_seconds_bucket{operation="o",le="+Inf"} 0+9x60',
    'levelup_ov_requests_total{account="a",operation="o",outcome="ok"} 0+9x60',
)
"""A service that is well."""


@pytest.fixture(scope="module")
def promtool(request: pytest.FixtureRequest) -> Path:
    with required(request, "promtool"):
        return from_debian("prometheus", "promtool")
    raise AssertionError


def test_each_trouble_raises_its_alert_and_no_other(promtool: Path, tmp_path: Path) -> None:
    assert SERIES.keys() == {rule["alert"] for rule in RULES}

    def series(*lines: str) -> list[dict[str, str]]:
        given = dict(line.rsplit(" ", 1) for line in lines)
        return [{"series": name, "values": value if "x" in value else f"{value}x60"} for name, value in given.items()]

    # Whether it is raised is asked of the alert itself: its annotations are not the matter here.
    asked = 'count by (alertname) (ALERTS{alertstate="firing"})'
    tests = [
        {
            "interval": "1m",
            "input_series": series(*SOUND, *raised.values()),
            "promql_expr_test": [
                {
                    "expr": asked,
                    "eval_time": "35m",
                    "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in raised],
                }
            ],
        }
        for raised in ({}, *({name: line} for name, line in SERIES.items()))
    ]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    for command in (["check", "rules", ALERTS], ["test", "rules", file]):
        ran = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_last_hour_is_that_of_all_workers(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5000.0
    monkeypatch.setattr("levelup_ov.metrics.shared.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("levelup_ov.metrics.history.time", SimpleNamespace(monotonic=lambda: now))
    one = Metrics(load_settings(environ), dict, dict)
    two = copy.copy(one)
    two._counts = dict(one._counts)
    two._history = copy.copy(one._history)
    one._part, two._part = 0, 1

    def validated(of: Metrics, number: int) -> None:
        for _ in range(number):
            of.request("validate_order", "ok", "deli", 0.1, [Call("GET", "/x", 200, 300, None)])

    def pass_by(minutes: int) -> None:
        nonlocal now
        for _ in range(minutes):
            now += 60
            one._publish(), two._publish()

    def seen() -> tuple[float, float]:
        hour = one.last_hour()
        assert hour.counts == two.last_hour().counts
        return hour.counts.get(("levelup_ov_requests_total", "ok", "deli"), 0), hour.seconds

    pass_by(1)
    validated(one, 3), validated(two, 4)
    pass_by(30)
    assert seen() == (7, 1800)
    validated(two, 5)
    pass_by(35)
    # What was counted 65 minutes ago is forgotten.
    assert seen() == (5, 3600)
    pass_by(70)
    assert seen()[0] == 0
    validated(one, 1)
    pass_by(300)
    assert seen() == (0, 3600)
