"""A service in development mode with its pages, and one real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.browser import chrome
from tests.servers.gateway import Gateway

__all__ = ["chrome"]

ACCOUNTS = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox Diner"

[accounts.hostile]
provider = "hostile"
name = "<script>document.title = 'taken over'</script>"

[accounts.wrong]
provider = "wrong"
name = "Wrong Diner"
"""


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With two workers, as ``make run`` has them."""
    accounts: Path = tmp_path_factory.mktemp("accounts") / "accounts.toml"
    accounts.write_text(ACCOUNTS)
    with Gateway(
        WEB_CONCURRENCY="2",
        LEVELUP_OV_ACCOUNTS=str(accounts),
        LEVELUP_OV_ADAPTERS=(
            "hostile=tests.workbench.hostile:HostileAdapter,wrong=tests.workbench.hostile:WrongAdapter"
        ),
    ) as service:
        yield service
