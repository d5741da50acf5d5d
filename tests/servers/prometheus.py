"""A real Prometheus server on the loopback interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.servers.process import Server, from_debian, http


def install() -> Path:
    """The server's executable: on the path, or Debian's.

    :raises SystemMissing: it is not there and cannot be installed.
    """
    return from_debian("prometheus", "prometheus")


class PrometheusServer(Server):
    """One server that scrapes ``target`` (host and port) each second with ``key``, and evaluates ``rules``.

    :raises SystemMissing: it does not start.
    """

    name = "prometheus"
    ready_path = "/-/ready"

    def __init__(self, executable: Path, target: str, key: str, rules: str) -> None:
        super().__init__()
        self._executable, self._target, self._key, self._rules = executable, target, key, rules

    def prepare(self, directory: Path) -> None:
        (directory / "alerts.yml").write_text(self._rules)
        (directory / "key").write_text(self._key)
        scrape = {
            "job_name": "levelup_ov",
            "authorization": {"type": "token", "credentials_file": "key"},
            "static_configs": [{"targets": [self._target]}],
        }
        often = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
        configuration = {"global": often, "scrape_configs": [scrape], "rule_files": ["alerts.yml"]}
        (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    def command(self, directory: Path) -> Sequence[str | Path]:
        return [
            self._executable,
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def value(self, expression: str) -> float | None:
        """The value of an expression that gives one; None: it gives nothing."""
        answer = http("GET", f"{self.base_url}/api/v1/query", params={"query": expression}).json()
        found = answer["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """The names of the alerts that are raised."""
        alerts = http("GET", f"{self.base_url}/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
