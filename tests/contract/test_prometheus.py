"""A real Prometheus over the service under load, and what is shown of its numbers."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from werkzeug.serving import make_server

from bench.hostile import BODY, ask
from levelup_ov.metrics.families import FAMILIES
from levelup_ov.standins.sandbox import create_sandbox
from tests.servers.gateway import Gateway
from tests.servers.process import from_debian, required
from tests.servers.prometheus import PrometheusServer, install

OPERATING = Path(__file__).parents[2] / "docs" / "operating"
ALERTS = (OPERATING / "alerts.yml").read_text(encoding="utf-8")
PATH = "/locations/deli.congress/order_validations"
FASTER = 20
"""How much shorter the durations of the alerts are here."""
KEY = "the-key-of-prometheus"


@pytest.fixture
def executable(request: pytest.FixtureRequest) -> Path:
    with required(request, "Prometheus"):
        return install()
    raise AssertionError


def hurried(rules: str) -> str:
    """The same rules, each duration a part of what it is."""
    seconds = {"s": 1, "m": 60, "h": 3600}
    found = yaml.safe_load(rules)

    def shorter(text: str) -> str:
        return re.sub(r"\b(\d+)([smh])\b", lambda each: f"{int(each[1]) * seconds[each[2]] // FASTER}s", text)

    for group in found["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[[^]]*\]", lambda each: shorter(each[0]), rule["expr"])
            rule["for"] = shorter(rule.get("for", "0s"))
    return str(yaml.safe_dump(found))


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


class Provider:
    """The sandbox's engine on ``port``, until it is gone or hangs."""

    def __init__(self, database: Path) -> None:
        self._app = create_sandbox(database)
        self._hangs, self._over = threading.Event(), threading.Event()
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if self._hangs.is_set():
            self._over.wait(60)
        return self._app(environ, start_response)

    def is_gone(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hangs(self) -> None:
        self._hangs.set()

    def close(self) -> None:
        self._over.set()
        self.is_gone()


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    provider = Provider(tmp_path / "sandbox.db")
    yield provider
    provider.close()


@pytest.fixture
def service(tmp_path: Path, provider: Provider) -> Iterator[Gateway]:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        f'[accounts.deli]\nprovider = "sandbox"\nname = "Deli"\nsettings = {{base_url = "http://127.0.0.1:{provider.port}"}}\n'
    )
    with Gateway(
        LEVELUP_OV_ACCOUNTS=str(accounts), LEVELUP_OV_METRICS_KEYS=KEY, WEB_CONCURRENCY="2",
        LEVELUP_OV_VALIDATION_DEADLINE="2",
    ) as server:  # fmt: skip
        assert isinstance(server, Gateway)
        yield server


@pytest.mark.parametrize("outage", [Provider.is_gone, Provider.hangs])
def test_an_outage_raises_its_alerts_and_no_others(
    executable: Path, provider: Provider, service: Gateway, outage: Callable[[Provider], None]
) -> None:
    stopped, answered = threading.Event(), []

    def order_on() -> None:
        while not stopped.is_set():
            answered.append(ask(service.port, "POST", PATH, BODY)[0])
            stopped.wait(0.05)

    callers = [threading.Thread(target=order_on) for _ in range(4)]
    with PrometheusServer(executable, f"127.0.0.1:{service.port}", KEY, hurried(ALERTS)) as prometheus:
        assert isinstance(prometheus, PrometheusServer)
        for caller in callers:
            caller.start()
        try:
            validated = 'levelup_ov_requests_total{operation="validate_order",outcome="ok",account="deli"}'
            # Several scrapes, whichever worker makes the page, while both are busy.
            until(lambda: (prometheus.value(f"count_over_time({validated}[20s])") or 0) >= 4)
            assert prometheus.value(f"resets({validated}[20s])") == 0
            assert 0 < (prometheus.value(validated) or 0) <= len(answered)
            assert prometheus.value('up{job="levelup_ov"}') == 1
            assert prometheus.firing() == set()
            outage(provider)
            # Where it hangs, the breakers of both workers need five calls that last as long as they may.
            assert until(prometheus.firing, 40) == {"ProviderDown"}
            time.sleep(1)
            assert prometheus.firing() == {"ProviderDown"}
            workers = prometheus.value("sum(levelup_ov_workers)")
            until(lambda: prometheus.value("sum(levelup_ov_breakers_open)") == workers)
        finally:
            stopped.set()
            for caller in callers:
                caller.join()


DASHBOARD = json.loads((OPERATING / "grafana.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_that_exists() -> None:
    named = set(re.findall(r"levelup_ov_\w+", " ".join(EXPRESSIONS)))
    assert {re.sub(r"_bucket$", "", name) for name in named} == set(FAMILIES)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for expression, panel in zip(EXPRESSIONS, PANELS, strict=True):
        for name, labels in re.findall(r"(levelup_ov_\w+?)(?:_bucket)?\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)[=!]", labels)) <= set(FAMILIES[name].labels), panel["title"]


def test_the_dashboards_expressions_are_valid(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with required(request, "promtool"):
        promtool = from_debian("prometheus", "promtool")
    written = [each.replace("$__rate_interval", "5m").replace("$account", ".*") for each in EXPRESSIONS]
    assert not any("$" in each for each in written)
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(written)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
