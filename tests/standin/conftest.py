"""A platform and its visitors for each test, and one real browser for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.browser import chrome
from tests.standin.visitors import Browser, LevelUp

__all__ = ["chrome"]


@pytest.fixture
def levelup(tmp_path: Path) -> Iterator[LevelUp]:
    levelup = LevelUp(tmp_path / "levelup.db")
    yield levelup
    levelup.store.close()


@pytest.fixture
def browser(levelup: LevelUp) -> Browser:
    return Browser(levelup)
