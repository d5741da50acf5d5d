"""A platform and a browser for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin.visitors import Browser, LevelUp


@pytest.fixture
def levelup(tmp_path: Path) -> Iterator[LevelUp]:
    levelup = LevelUp(tmp_path / "levelup.db")
    yield levelup
    levelup.store.close()


@pytest.fixture
def browser(levelup: LevelUp) -> Browser:
    return Browser(levelup)
