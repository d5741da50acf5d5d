"""An exception that leaves an adapter: the suite says where it came from, and blames no answer that there was not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.location import Location
from levelup_ov.standins.sandbox import create_sandbox
from levelup_ov.testing import Provider
from levelup_ov.testing.harness import Bench
from levelup_ov.transport.session import Session, Transport


class TooEarly(SandboxAdapter):
    def list_locations(self, session: Session) -> Sequence[Location]:
        return self.nothing.list_locations(session)  # type: ignore[attr-defined,no-any-return]


class TooTrusting(SandboxAdapter):
    def list_locations(self, session: Session) -> Sequence[Location]:
        return super().list_locations(session)[0].of_a_later_version  # type: ignore[attr-defined,no-any-return]


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize(
    ("adapter", "said", "unsaid"),
    [
        (TooEarly, "before it called the provider: repair the adapter", "answer"),
        (TooTrusting, "an unusable answer must be raised as a Failure. Read answers with reply.object()", "before it"),
    ],
)
def test_an_exception_that_leaves_an_adapter(
    adapter: type[SandboxAdapter], said: str, unsaid: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    engine = create_sandbox(tmp_path / "sandbox.db")
    request.addfinalizer(engine.extensions["sandbox"].store.close)
    transport = Transport(pool_size=1, in_process={"sandbox.internal": engine})
    bench = Bench(Provider(adapter, Account("diner", "sandbox", "Diner"), transport))
    call: Callable[..., Any] = lambda used, session: used.list_locations(session)  # noqa: E731
    with pytest.raises(AssertionError) as caught:
        bench.do(call)
    words = str(caught.value)
    assert "AttributeError left the adapter" in words and "test_escapes.py, line " in words
    assert said in words and unsaid not in words
