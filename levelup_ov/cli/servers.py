"""``levelup-ov sandbox`` and ``levelup-ov levelup``: servers to develop and test against."""

from __future__ import annotations

import logging
from pathlib import Path

import click
from werkzeug.serving import make_server

from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.domain.secret import Secret
from levelup_ov.observability import JsonFormatter

# Both import their server only when called, so a production process loads no stand-in.

_data_dir = click.option(
    "--data-dir", envvar="LEVELUP_OV_DATA_DIR", default="instance", show_default=True,
    type=click.Path(file_okay=False, path_type=Path), help="Directory for its database.",
)  # fmt: skip


@click.command()
@click.option("--port", default=9000, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@_data_dir
def sandbox(port: int, data_dir: Path) -> None:
    """Serve the sandbox, a small ordering system.

    Needs no configuration.
    """
    from levelup_ov.standins.sandbox import create_sandbox

    _prepare(data_dir)
    server = make_server("127.0.0.1", port, create_sandbox(data_dir / "sandbox.db"), threaded=True)
    click.echo(f"sandbox at http://127.0.0.1:{server.server_port}")
    server.serve_forever()


@click.command()
@click.option("--port", default=9100, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option(
    "--redirect-uri", "redirect_uris", multiple=True, help="A redirect URI of the sample shop's app; may be repeated."
)
@click.option("--callback-url", help="Receives the answers to that app's permissions requests.")
@click.option("--shop-service", help="Base URL of a running service, for the sample shop under /shop.")
@click.option(
    "--shop-key",
    envvar="LEVELUP_OV_API_KEYS",
    default=DEVELOPMENT_API_KEY,
    help="API key of that service; better from the environment than from here.",
)
@click.option("--gateway", "gateway_url", help="Base URL of a running service, for ordering ahead under /order.")
@click.option(
    "--gateway-key",
    envvar="LEVELUP_OV_API_KEYS",
    default=DEVELOPMENT_API_KEY,
    help="API key of that service; better from the environment than from here.",
)
@_data_dir
def levelup(
    port: int, redirect_uris: tuple[str, ...], callback_url: str | None, shop_service: str | None, shop_key: str,
    gateway_url: str | None, gateway_key: str, data_dir: Path,
) -> None:  # fmt: skip
    """Serve a stand-in for LevelUp, with pages and test users.

    Needs no configuration.
    """
    from levelup_ov.standins.levelup import REDIRECT_URIS, HttpGateway, create_levelup, levelup_server
    from levelup_ov.standins.shop import over_http

    _prepare(data_dir)
    key = Secret(shop_key.partition(",")[0].strip())
    try:
        gateway = HttpGateway(gateway_url, Secret(gateway_key.partition(",")[0].strip())) if gateway_url else None
    except ValueError as problem:
        raise click.ClickException(f"--gateway: {problem}") from None
    platform = create_levelup(
        data_dir / "levelup.db",
        redirect_uris=redirect_uris or REDIRECT_URIS,
        callback_url=callback_url,
        shop_service=over_http(shop_service, key) if shop_service else None,
        gateway=gateway,
    )
    # What its operator needs to know of an order is in the fields of its log lines.
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.getLogger("levelup_ov").addHandler(handler)
    server = levelup_server(platform, port)
    address = f"http://127.0.0.1:{server.server_port}"
    click.echo(f"LevelUp stand-in at {address}")
    if gateway:
        click.echo(f"order ahead at {address}/order")
    if shop_service:
        click.echo(f"sample shop at {address}/shop")
    server.serve_forever()


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{directory} cannot be written: {error.strerror}") from None
