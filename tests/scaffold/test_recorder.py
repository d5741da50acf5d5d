"""Recordings hold what a test needs and nothing that is anybody's business."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.scaffold.recording import REDACTED, Redactor, found_in, problems, write_recording
from levelup_ov.testing import Provider, Sample
from levelup_ov.testing.harness import Bench
from levelup_ov.transport.tap import Answered, Exchange, Playback, read_recording
from tests.conftest import MakeApp

ROOT = Path(__file__).parents[2]
ANSWER = {
    "id": "customer-77", "name": "Ann Person", "email": "ann@person.example", "phone": "+1 617 555 0143", "total": 1170,
    "tax_rate": 0.07, "made_at": "2026-11-21T12:00:00-05:00", "visits": 12345, "open": True, "note": None,
    "ann@person.example": "a member named after somebody", "card": {"number": "4111111111111111"},
}  # fmt: skip

READ = ["1_locations.json", "2_menu.json", "2_stock.json"]
"""What is recorded before an order."""


def exchange(answer: Any = None, path: str = "/v1/customers/customer-77?page=2&key=k3y", **members: Any) -> Exchange:
    headers = {"Authorization": "Bearer s3cret-token", "Content-Type": "application/json", "X-Api-Key": "k3y-k3y-k3y"}
    reported = Answered(
        200, {"Set-Cookie": "session=abc", "Content-Type": "application/json"}, json.dumps(answer).encode()
    )
    return Exchange("GET", f"https://live.example{path}", headers, answer=reported, **members)


@pytest.mark.rule("ERR-4", "PAY-2")
def test_only_what_is_allowed_passes_in_clear() -> None:
    redactor = Redactor()
    reported = redactor.exchange(exchange(ANSWER))
    body, later = reported["answer"]["body"], redactor.exchange(exchange({}))

    assert (body["total"], body["tax_rate"], body["open"], body["note"]) == (1170, 0.07, True, None)
    assert {name: type(value) for name, value in body.items() if name in ANSWER} == {
        name: type(value) for name, value in ANSWER.items() if name != "ann@person.example"
    }
    assert body["made_at"] == "2030-01-02T12:00:00Z" and body["email"].endswith("@example.com")
    text = json.dumps(reported)
    for private in ("Ann", "ann@", "617", "12345", "s3cret", "k3y", "abc", "4111", "live.example", "member named"):
        assert private not in text, private
    assert reported["request"]["headers"]["Content-Type"] == "application/json"
    assert reported["request"]["headers"]["Authorization"] == reported["answer"]["headers"]["Set-Cookie"] == REDACTED
    # The id of an answer still leads to the path of the next request.
    assert later["request"]["url"].startswith(f"/v1/customers/{body['id']}?")


def test_more_can_be_allowed_by_name_but_no_card() -> None:
    answer = {"Dish": "Burger", "number": "4929 1234 5678 9015", "other": "x"}
    body = Redactor(["dish", "number"]).exchange(exchange(answer))["answer"]["body"]

    assert body["Dish"] == "Burger" and body["other"] != "x"
    assert not body["number"].startswith("4929")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4929123456789015", "a card number"),
        ("4929 1234 5678 9015", "a card number"),
        ("4929-1234-5678-9015", "a card number"),
        ("Bearer abcdef123456", "an Authorization value"),
        ("basic dXNlcjpwYXNz", "an Authorization value"),
        ("4111 1111 1111 1111", None),
        ("4929123456789016", None),
        ("2026-11-21T12:00:00", None),
        ("a bearer of news", None),
    ],
)
@pytest.mark.rule("ERR-4", "PAY-2")
def test_secrets_are_known_by_their_form(text: str, found: str | None) -> None:
    assert [each for each in found_in(text) if found is None or found not in each] == []
    assert bool(list(found_in(text))) == (found is not None)


@pytest.mark.rule("ERR-4", "PAY-2")
def test_a_recording_with_a_secret_is_refused_and_not_written(tmp_path: Path) -> None:
    class Leaky(Redactor):
        def exchange(self, exchange: Exchange) -> dict[str, Any]:
            return {"request": {"headers": dict(exchange.headers)}, "answer": None}

    with pytest.raises(ValueError, match="an Authorization value; a value of the header Authorization"):
        write_recording(tmp_path / "leak.json", [exchange({})], Leaky())

    assert list(tmp_path.iterdir()) == []


def recordings() -> list[Path]:
    """Every recording of the repository, identified by its first member."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "*.json"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b'"levelup_ov_recording"' in path.read_bytes()]


@pytest.mark.rule("ERR-4", "PAY-2")
def test_no_recording_of_the_repository_holds_a_secret() -> None:
    found = recordings()
    assert len(found) >= 4
    assert {path.name: reported for path in found if (reported := problems(path.read_text(encoding="utf-8")))} == {}


@pytest.fixture
def record(make_app: MakeApp) -> Callable[..., str]:
    app: Flask = make_app()

    def run(*arguments: str, exit_code: int = 0) -> str:
        done = app.test_cli_runner().invoke(args=["adapters", "record", *arguments])
        assert done.exit_code == exit_code, done.output
        return done.output

    return run


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.rule("EP-4", "EP-5")
def test_a_flow_is_recorded_and_played_back(record: Callable[..., str], tmp_path: Path) -> None:
    said = record("sandbox", "--out", str(tmp_path / "made"), "--location", "day", "--submit", "--allow", "title")

    assert names(tmp_path / "made") == [*READ, "3_validation.json", "4_submission.json"]
    assert "order 1 was placed" in said and "read them before you keep them" in said
    placing = [each for each in read_recording(tmp_path / "made" / "4_submission.json") if each.places_order]
    assert [each.method for each in placing] == ["POST"]
    account = Account("sandbox", "sandbox", "Diner", {"api_key": Secret("another-key")})
    bench = Bench(Provider(SandboxAdapter, account, Playback(tmp_path / "made"), reacts=False))
    places = {place.location.name: name for name, place in bench.places().items()}
    assert {"Day Kitchen", "Tokyo Corner"} <= set(places)
    (cart,) = [each for each in read_recording(tmp_path / "made" / "3_validation.json") if each.method == "POST"]
    ordered = tuple(Item(line["dish"], line["count"]) for line in json.loads(cart.body)["lines"])
    order = bench.order(Sample(places["Day Kitchen"], *ordered))
    assert bench.validate(order).answer.consumer_pays == 213
    assert bench.submit(order, Sample("day").tender).answer.charged == 213


@pytest.mark.rule("EP-4")
def test_nothing_is_placed_unless_that_is_asked_for(record: Callable[..., str], tmp_path: Path) -> None:
    record("sandbox", "--out", str(tmp_path / "made"))

    assert names(tmp_path / "made") == [*READ, "3_validation.json"]


def test_what_cannot_be_recorded_is_reported(record: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no account 'boston'" in record("boston", "--out", str(tmp_path), exit_code=1)
    assert "no location 'mars'" in record("sandbox", "--out", str(tmp_path), "--location", "mars", exit_code=1)
