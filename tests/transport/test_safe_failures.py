"""What leaves a session shows no secret, in whatever form somebody prints it."""

from __future__ import annotations

import logging
import traceback

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered
from tests.transport.wire import session

KEY = "sk-live-2b6f4c1e9a"


def deep() -> None:
    """Fails with a chain of failures and other exceptions, the secret in each failure of it."""
    try:
        try:
            raise Unanswered("provider_timeout", f"silence for {KEY}", sent=True, status=504, retry_after=3)
        except Unanswered as silence:
            raise KeyError("no member of this name") from silence
    except KeyError as missing:
        try:
            raise Failure("internal_error", f"then {KEY}", path=f"$.{KEY}")
        except Failure:
            raise Refused("order_refused", f"refused to {KEY}", path="$.items[0]") from missing


def fail() -> Failure:
    with pytest.raises(Refused) as caught, session("http://provider.invalid", known=[Secret(KEY)]):
        deep()
    return caught.value


@pytest.mark.rule("ERR-4")
def test_no_secret_is_left_in_the_whole_chain(caplog: pytest.LogCaptureFixture) -> None:
    failure = fail()
    with caplog.at_level(logging.ERROR):
        logging.getLogger(__name__).error("failed", exc_info=failure)
    seen, rest = [], [failure]
    while rest:
        error = rest.pop()
        seen.append(f"{error} {error!r} {error.args} {vars(error)}")
        rest += [each for each in (error.__cause__, error.__context__) if each is not None]  # type: ignore[misc]
    text = "\n".join([*seen, *traceback.format_exception(failure), caplog.text])
    assert KEY not in text
    assert text.count("refused to ***") >= 2 and "silence for ***" in text and "then ***" in text


def test_its_members_and_what_led_to_it_are_kept() -> None:
    failure = fail()
    assert (failure.code, failure.path, failure.retry_after) == ("order_refused", "$.items[0]", None)
    missing, then = failure.__cause__, failure.__context__
    assert isinstance(missing, KeyError) and isinstance(then, Failure) and then.path is None
    silence = missing.__cause__
    assert isinstance(silence, Unanswered) and silence is missing.__context__
    assert (silence.status, silence.retry_after, silence.sent) == (504, 3, True)
    assert "deep" in [frame.name for frame in traceback.extract_tb(failure.__traceback__)]
    assert "deep" in [frame.name for frame in traceback.extract_tb(silence.__traceback__)]


def test_a_failure_without_secrets_passes_as_it_is() -> None:
    failure = Unanswered("provider_timeout", "silence", sent=False)
    with pytest.raises(Unanswered) as caught, session("http://provider.invalid", known=[Secret(KEY)]):
        raise failure
    assert caught.value is failure


def test_suppressed_causes_stay_suppressed() -> None:
    with pytest.raises(Refused) as caught, session("http://provider.invalid", known=[Secret(KEY)]):
        try:
            raise ValueError("a driver's words")
        except ValueError:
            raise Refused("order_refused", f"refused to {KEY}") from None
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert "driver" not in "".join(traceback.format_exception(caught.value))
