"""What the demonstrations share: the service as a process of its own, and calls and answers shown as one types them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers.gateway import Gateway  # noqa: E402
from tests.servers.process import SystemMissing, http  # noqa: E402

LINES_SHOWN = 40
WIDTH = 110


class OrderAhead(Gateway):
    """The service itself.

    ``accounts`` is the text of its accounts file, ``variables`` are the secrets that it refers to.
    """

    def __init__(self, accounts: str, **variables: str) -> None:
        self.key = secrets.token_urlsafe(16)
        self._accounts = accounts
        super().__init__(LEVELUP_OV_API_KEYS=self.key, **variables)

    def prepare(self, directory: Path) -> None:
        (directory / "accounts.toml").write_text(self._accounts)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "LEVELUP_OV_ACCOUNTS": str(self.directory / "accounts.toml")}

    def __enter__(self) -> OrderAhead:
        super().__enter__()
        return self

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Make a call and show it with its answer.

        :raises SystemExit: the answer has another status than ``expect``.
        """
        show_call(method, path, body)
        headers = {"Authorization": f"token {self.key}"}
        answer = http(method, self.base_url + path, headers=headers, json=body)
        show(f"{answer.status_code} {answer.reason}", "32" if answer.ok else "33")
        show_json(answer.json())
        if answer.status_code != expect:
            raise SystemExit(f"expected status {expect}; the service's log:\n{self.log()}")
        return answer.json()


def headline(text: str) -> None:
    """A step of the story."""
    print(f"\n{paint(text, '1')}\n")


def show_call(
    method: str, path: str, body: Any, *, root: str = "$SERVICE", header: str = "Authorization: token $KEY"
) -> None:
    """A call as one would type it."""
    line = f'  $ curl -s{"" if method == "GET" else f" -X {method}"} "{root}{path}" -H "{header}"'
    if body is not None:
        line += " -H 'Content-Type: application/json' -d '"
        line += "".join(f"\n    {part}" for part in pretty(body).splitlines()) + "'"
    print(paint(line, "36"))


def show_json(content: Any) -> None:
    """An answer, its end left out where it is long."""
    lines = pretty(content).splitlines()
    for line in lines[:LINES_SHOWN]:
        print(f"  {line}")
    if len(lines) > LINES_SHOWN:
        show(f"... and {len(lines) - LINES_SHOWN} more lines", "2")


def pretty(content: Any, depth: int = 0) -> str:
    """JSON with everything that fits on one line on one line."""
    line = json.dumps(content, ensure_ascii=False)
    if len(line) + depth <= WIDTH or not isinstance(content, (dict, list)):
        return line
    inner, outer = "\n" + " " * (depth + 2), "\n" + " " * depth
    if isinstance(content, dict):
        members = (f"{json.dumps(name)}: {pretty(value, depth + 2)}" for name, value in content.items())
        return f"{{{inner}{f',{inner}'.join(members)}{outer}}}"
    return f"[{inner}{f',{inner}'.join(pretty(value, depth + 2) for value in content)}{outer}]"


def show(text: str, style: str) -> None:
    """A remark next to an answer."""
    print(f"  {paint(text, style)}")


def paint(text: str, style: str) -> str:
    """``text`` in an ANSI style, where somebody looks at it."""
    return f"\033[{style}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def run(demonstration: Callable[[], None]) -> None:
    """Run it, or say in one line why that cannot be. What it started ends with it, however it is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        demonstration()
    except SystemMissing as reason:
        raise SystemExit(f"the demonstration cannot run here: {reason}") from None
