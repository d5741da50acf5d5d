"""The configured service, for the commands that need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from flask.cli import ScriptInfo

from levelup_ov.config_mistakes import ConfigError
from levelup_ov.domain.failure import Failure
from levelup_ov.event_settings import EVENTS

if TYPE_CHECKING:
    # The application loads what it is configured for; web checkout brings OAuth's library, for instance.
    from levelup_ov.checkout import Checkout
    from levelup_ov.config import Settings
    from levelup_ov.events import Deliverer
    from levelup_ov.ordering.service import Service

T = TypeVar("T")


class NotConfigured(click.ClickException):
    """What the command is about is not configured. The exit status is that of a mistake in the configuration."""

    exit_code = ConfigError.exit_code


def the_service() -> Service:
    """:raises levelup_ov.config.ConfigError: with every mistake of the configuration."""
    return _extension("levelup_ov")


def the_deliverer() -> Deliverer:
    """:raises NotConfigured: there is no receiver."""
    if (found := _extension(EVENTS)) is None:
        raise NotConfigured(
            "there is no receiver of events: set LEVELUP_OV_EVENTS_URL, an operator, or LEVELUP_OV_UCP_SIGNING_KEYS"
        )
    return found


def the_settings() -> Settings:
    """:raises levelup_ov.config.ConfigError: with every mistake of the configuration."""
    return _extension("levelup_ov.settings")


def the_checkout() -> Checkout:
    """:raises NotConfigured: web checkout is not."""
    if (found := _extension("levelup_ov.checkout")) is None:
        raise NotConfigured("web checkout is not configured: LEVELUP_OV_CHECKOUT_URL is not set")
    return found


def check_ledger_writable() -> None:
    """For what a scheduler runs: a run that finds nothing to do also fails if the ledger cannot be written.

    :raises click.ClickException: it cannot, with the reason.
    """
    shown(the_service().submissions.ledger.ready)


def shown(call: Callable[[], T], error: type[click.ClickException] = click.ClickException) -> T:
    """The result of ``call``; a failure becomes the command's ``error``."""
    try:
        return call()
    except Failure as failure:
        raise error(f"{failure.code}: {failure.message}") from None


def _extension(name: str) -> Any:
    given = click.get_current_context().obj
    # `flask` and its test runner pass their application in a ScriptInfo, `levelup-ov` what builds it.
    app = given.load_app() if isinstance(given, ScriptInfo) else given()
    return app.extensions[name]
