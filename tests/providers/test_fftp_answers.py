"""The FFTP adapter and single answers that a sound server gives rarely, or never."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests
import responses

from adapters.fftp import IMPOSSIBLE_TOTAL, FftpAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.ready_time import Shown
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import LevelUp
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Reply, Session, Transport

URL = "http://boston.test"
ORDERS = f"{URL}/fftp/v1/orders"
KEPT = f"{ORDERS}/ord_1"
PAID = f"{KEPT}/paid"
MENU = f"{URL}/fftp/v1/menu"
NOW = datetime(2026, 11, 22, 17, 0, tzinfo=timezone.utc)
MAIN = Location("main", "Boston Deli")
ADAPTER = FftpAdapter(Account("boston", "fftp", "Boston Deli", {"base_url": URL, "admin_token": Secret("t0ken")}))
PRICED = {"detail": {"message": "client total does not match menu prices", "correct_total_cents": 1000}}
PLACED = {
    "order_id": "ord_1",
    "ticket_number": "T-001",
    "total_cents": 1000,
    "eta_minutes": 20,
    "paid": False,
    "payment_proof": "LevelUp ref-1",
    "customer_name": "Ann Example",
    "created_at": "2026-11-22T12:00:00+00:00",
}


@pytest.fixture
def fftp() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def session() -> Session:
    return Session(
        Transport(pool_size=1),
        "boston",
        base_url=ADAPTER.base_url,
        headers=ADAPTER.headers(),
        error_from=ADAPTER.error_from,
        deadline=Deadline(10),
    )


def order(**members: Any) -> Order:
    return Order(MAIN, (Item("soda", 1),), User("Ann", "Example", phone="1"), NOW, reference="ref-1", **members)


def server(fftp: responses.RequestsMock, place: Callable[[], tuple[int, dict[str, Any]]]) -> None:
    """An FFTP server that knows the token and the price; ``place`` answers the order itself."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        priced = json.loads(request.body or "")["client_total_cents"] == IMPOSSIBLE_TOTAL
        status, body = (409, PRICED) if priced else place()
        return status, {}, json.dumps(body)

    fftp.get(ORDERS, json=[])
    fftp.add_callback("POST", ORDERS, answer)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_order_is_never_sent_twice(fftp: responses.RequestsMock, session: Session, status: int) -> None:
    placing: list[int] = []

    def fault() -> tuple[int, dict[str, Any]]:
        placing.append(status)
        return status, {}

    server(fftp, fault)

    with pytest.raises(Unanswered) as failure:
        ADAPTER.submit_order(order(), LevelUp(), session)

    assert placing == [status]
    assert failure.value.sent and session.placing


UNMARKED: dict[str, dict[str, Any]] = {
    "fault": {"status": 503},
    "token": {"status": 401, "json": {"detail": "admin token required"}},
    "no such page": {"status": 404, "json": {"detail": "Not Found"}},
    "nonsense": {"status": 200, "body": "no JSON"},
    "unreachable": {"body": requests.ConnectionError()},
}


@pytest.mark.rule("SUB-5", "SUB-8", "PAY-1", "PAY-4")
@pytest.mark.parametrize("answer", [*UNMARKED.values(), {"json": PLACED}], ids=[*UNMARKED, "unpaid"])
def test_an_order_not_marked_as_paid_is_charged_with_nothing(session: Session, answer: dict[str, Any]) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as fftp:
        server(fftp, lambda: (201, PLACED))
        fftp.post(PAID, **answer)
        fftp.get(KEPT, json=PLACED)

        placed = ADAPTER.submit_order(order(), LevelUp(), session)

    assert (placed.order_id, placed.provider_order_id, placed.charged) == ("T-001", "ord_1", 0)
    assert placed.reference == "ref-1"
    assert placed.expected_charge == 1000 and placed.charge_mismatch


GONE = {"status": 404, "json": {"detail": "order not found"}}
ANOTHER: dict[str, dict[str, Any]] = {
    "order": {**PLACED, "order_id": "ord_2"},
    "reference": {**PLACED, "payment_proof": "LevelUp ref-2"},
    "longer reference": {**PLACED, "payment_proof": "LevelUp ref-11"},
    "no reference": {**PLACED, "payment_proof": ""},
    "customer": {**PLACED, "customer_name": "Bob Example"},
    "cancelled": {**PLACED, "status": "cancelled"},
    "cut short": {"order_id": "ord_1", "paid": True},
}


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize(
    ("paid", "kept"),
    [
        (GONE, {}),
        *(({"json": {**answer, "paid": True}}, {"json": PLACED}) for answer in ANOTHER.values()),
        ({"status": 503}, GONE),
        ({"status": 503}, {"status": 503}),
        *(({"status": 503}, {"json": answer}) for answer in ANOTHER.values()),
    ],
)
def test_an_order_that_fftp_contradicts_is_unknown(
    session: Session, paid: dict[str, Any], kept: dict[str, Any]
) -> None:
    """FFTP 0.4.0 answers some orders with 201 and does not keep them; it says so at the next call."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as fftp:
        server(fftp, lambda: (201, PLACED))
        fftp.post(PAID, **paid)
        fftp.get(KEPT, **kept)

        with pytest.raises(Unanswered) as failure:
            ADAPTER.submit_order(order(), LevelUp(), session)

    assert session.placing and failure.value.sent
    assert paid == {"status": 503} or "/fftp/v1/orders/ord_1/paid" in failure.value.message


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("answer", [answer for name, answer in ANOTHER.items() if name != "order"])
def test_another_guests_order_is_not_ours(
    fftp: responses.RequestsMock, session: Session, status: int, answer: dict[str, Any]
) -> None:
    server(fftp, lambda: (status, answer))

    with pytest.raises(Unanswered) as failure:
        ADAPTER.submit_order(order(), LevelUp(), session)

    assert (failure.value.code, session.placing) == ("provider_protocol_error", True)
    assert len(fftp.calls) == 3, "nothing of another guest's order is changed"


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("member", ["client_total_cents", "correct_total_cents"])
def test_a_refusal_that_is_not_of_our_total_proves_nothing(
    fftp: responses.RequestsMock, session: Session, member: str
) -> None:
    totals = {"client_total_cents": {"client_total_cents": 650}, "correct_total_cents": {"client_total_cents": 1000}}
    server(fftp, lambda: (409, {"detail": {**PRICED["detail"], **totals[member]}}))

    with pytest.raises(Unanswered, match=member):
        ADAPTER.submit_order(order(), LevelUp(), session)

    assert session.placing


def found(fftp: responses.RequestsMock, session: Session, rows: Any) -> Any:
    fftp.get(ORDERS, json=rows)
    return ADAPTER.find_order(MAIN, "ref-1", {}, session)


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize(
    ("row", "member"),
    [
        ({"order_id": "ord_9"}, "payment_proof"),
        ({"order_id": "ord_9", "payment_proof": None}, "payment_proof"),
        ({"order_id": "ord_9", "payment_proof": 5}, "payment_proof"),
        ({"payment_proof": "LevelUp ref-9"}, "order_id"),
        ("ord_9", r"\$.orders\[1\]"),
    ],
)
def test_a_row_that_cannot_be_read_proves_nothing(
    fftp: responses.RequestsMock, session: Session, row: Any, member: str
) -> None:
    readable = {"order_id": "ord_8", "payment_proof": "LevelUp ref-8"}

    with pytest.raises(Unanswered, match=member):
        found(fftp, session, [readable, row])


@pytest.mark.rule("SUB-5")
def test_only_the_whole_reference_is_ours(fftp: responses.RequestsMock, session: Session) -> None:
    proofs = ("LevelUp ref-11", "ref-1", "LevelUp ref", "", "pay_at_counter")

    assert found(fftp, session, [{"order_id": "ord_9", "payment_proof": proof} for proof in proofs]) is None


@pytest.mark.rule("SUB-7", "SUB-8")
@pytest.mark.parametrize("status", [200, 201])
def test_the_placing_calls_answer_is_none_to_paid(fftp: responses.RequestsMock, session: Session, status: int) -> None:
    """It came twice: FFTP confirmed the order, and does not have it."""
    server(fftp, lambda: (status, PLACED))
    fftp.post(PAID, status=status, json=PLACED)
    fftp.get(KEPT, status=404, json={"detail": "order not found"})

    with pytest.raises(Unanswered, match="answers GET .* with 404"):
        ADAPTER.submit_order(order(), LevelUp(), session)
    assert session.placing


@pytest.mark.rule("SUB-8")
def test_a_404_to_the_placing_call_proves_nothing(fftp: responses.RequestsMock, session: Session) -> None:
    server(fftp, lambda: (404, {"detail": "order not found"}))

    with pytest.raises(Unanswered, match="404"):
        ADAPTER.submit_order(order(), LevelUp(), session)
    assert session.placing


@pytest.mark.rule("SUB-1", "SUB-8")
def test_the_number_is_that_of_the_order_that_fftp_keeps(fftp: responses.RequestsMock, session: Session) -> None:
    server(fftp, lambda: (201, {**PLACED, "ticket_number": "T-009"}))
    fftp.post(PAID, json={**PLACED, "paid": True})

    assert ADAPTER.submit_order(order(), LevelUp(), session).order_id == "T-001"


@pytest.mark.rule("SUB-2", "SUB-8")
def test_two_orders_of_one_reference_are_both_reported(fftp: responses.RequestsMock, session: Session) -> None:
    fftp.post(PAID, json={**PLACED, "paid": True})
    second = {**PLACED, "order_id": "ord_2", "created_at": "2026-11-22T12:00:01+00:00"}

    placed = found(fftp, session, [second, PLACED])

    assert (placed.provider_order_id, placed.duplicates) == ("ord_1", ("ord_2",))


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("paid", [False, True])
def test_an_order_that_was_canceled_is_found(fftp: responses.RequestsMock, session: Session, paid: bool) -> None:
    fftp.post(PAID, json={**PLACED, "status": "cancelled", "paid": paid})

    placed = found(fftp, session, [PLACED])

    assert (placed.provider_order_id, placed.charged) == ("ord_1", None)


@pytest.mark.rule("SUB-8", "TIME-1")
def test_an_order_without_its_time_is_placed(fftp: responses.RequestsMock, session: Session) -> None:
    server(fftp, lambda: (201, {name: value for name, value in PLACED.items() if name != "created_at"}))
    fftp.post(PAID, json={**PLACED, "paid": True})

    assert ADAPTER.submit_order(order(), LevelUp(), session).expected_ready_at == NOW + timedelta(minutes=20)


@pytest.mark.rule("SUB-8")
def test_of_two_orders_the_one_that_stands_is_told(fftp: responses.RequestsMock, session: Session) -> None:
    fftp.post(f"{ORDERS}/ord_2/paid", json={**PLACED, "order_id": "ord_2", "paid": True})
    second = {**PLACED, "order_id": "ord_2", "created_at": "2026-11-22T12:00:01+00:00"}

    placed = found(fftp, session, [{**PLACED, "status": "cancelled"}, second])

    assert (placed.provider_order_id, placed.duplicates) == ("ord_2", ("ord_1",))


@pytest.mark.rule("MONEY-5", "PAY-4")
@pytest.mark.parametrize(("discount", "charged"), [(0, 1000), (100, None)])
def test_fftp_cannot_say_what_was_paid_for_a_discounted_order(
    fftp: responses.RequestsMock, session: Session, discount: int, charged: int | None
) -> None:
    server(fftp, lambda: (201, PLACED))
    fftp.post(PAID, json={**PLACED, "paid": True})

    assert ADAPTER.submit_order(order(merchant_funded_discount=discount), LevelUp(), session).charged == charged


@pytest.mark.rule("SUB-2", "SUB-5", "TIME-1")
@pytest.mark.parametrize(
    ("status", "hours", "from_making"), [(200, -5, True), (200, 1, True), (201, -5, False), (201, 1, True)]
)
def test_the_time_counts_from_the_making_of_the_order(
    fftp: responses.RequestsMock, session: Session, status: int, hours: int, from_making: bool
) -> None:
    """The submission may have come in before; and a new order is not made before that, whatever a slow clock says."""
    made = NOW + timedelta(hours=hours)
    placed = {**PLACED, "created_at": made.isoformat()}
    server(fftp, lambda: (status, placed))
    fftp.post(PAID, json={**placed, "paid": True})

    answer = ADAPTER.submit_order(order(), LevelUp(), session)

    assert answer.expected_ready_at == (made if from_making else NOW) + timedelta(minutes=20)


@pytest.mark.rule("ERR-4")
def test_only_the_counters_own_calls_carry_the_token(fftp: responses.RequestsMock, session: Session) -> None:
    server(fftp, lambda: (201, PLACED))
    fftp.get(MENU, json={"restaurant_name": "Boston Deli", "default_prep_minutes": 20, "items": []})
    fftp.post(PAID, json={**PLACED, "paid": True})

    ADAPTER.validate_order(order(), session)
    ADAPTER.submit_order(order(), LevelUp(), session)

    requests_made = [call.request for call in fftp.calls]
    carriers = [(made.method, made.path_url) for made in requests_made if "x-admin-token" in made.headers]
    assert len(requests_made) == 6
    assert carriers == [("GET", "/fftp/v1/orders?status=none"), ("POST", "/fftp/v1/orders/ord_1/paid")]
    assert "t0ken" not in repr(ADAPTER.account)


@pytest.mark.rule("ERR-3", "MONEY-9")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, PLACED),
        (409, {"detail": "conflict"}),
        (409, {"detail": {"message": "no", "correct_total_cents": "1000"}}),
        (422, {"detail": None}),
        (422, {"detail": [{"loc": ["body"]}]}),
        (422, {"detail": []}),
        (409, {"detail": {**PRICED["detail"], "error": "conflict"}}),
        (409, {"detail": {**PRICED["detail"], "client_total_cents": 650}}),
        (404, {"detail": "Not Found"}),
    ],
)
def test_an_answer_that_is_not_fftps_is_a_broken_protocol(
    fftp: responses.RequestsMock, session: Session, status: int, body: dict[str, Any]
) -> None:
    fftp.post(ORDERS, status=status, json=body)

    with pytest.raises(Unanswered) as failure:
        ADAPTER.validate_order(order(), session)

    assert failure.value.code == "provider_protocol_error"


@pytest.mark.rule("ERR-2")
def test_words_without_a_code_of_their_own_are_passed_on() -> None:
    refusal = ADAPTER.error_from(Reply(422, {}, b'{"detail": "the fryer is broken"}'))

    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.message) == ("order_refused", "the fryer is broken")


NONE = {"id": "none", "name": "None"}


def item(**members: Any) -> dict[str, Any]:
    return {"id": "soda", "name": "Soda", "price_cents": 300, **members}


def group(group_id: str, *options: dict[str, Any]) -> dict[str, Any]:
    return {"id": group_id, "name": group_id, "options": list(options)}


@pytest.mark.rule("MENU-3", "MENU-5", "MONEY-1")
@pytest.mark.parametrize(
    ("items", "code", "words"),
    [
        (
            [item(modifiers=[group("ice", NONE), group("lemon", NONE)])],
            "menu_invalid",
            "option provider_id isn't unique in its item option_provider_id=none item_provider_id=soda",
        ),
        (
            [item(modifiers=[group("cup", {"id": "own", "name": "Own cup", "price_delta_cents": "-20"})])],
            "provider_protocol_error",
            "a number at $.items[0].modifiers[0].options[0].price_delta_cents",
        ),
        ([item(price_cents="3.50")], "provider_protocol_error", "a number at $.items[0].price_cents"),
    ],
)
def test_an_unreadable_menu_is_refused(
    fftp: responses.RequestsMock, session: Session, items: list[dict[str, Any]], code: str, words: str
) -> None:
    fftp.get(MENU, json={"restaurant_name": "Boston Deli", "items": items})

    with pytest.raises(Unanswered) as failure:
        ADAPTER.show_menu(MAIN, session)

    assert failure.value.code == code
    assert words in failure.value.message


@pytest.mark.rule("MENU-6", "MONEY-1")
@pytest.mark.parametrize("price", [-20, 3.5, 10**9])
def test_what_has_no_price_in_cents_is_left_out(
    fftp: responses.RequestsMock, session: Session, price: int | float
) -> None:
    cups = group("cup", {"id": "own", "name": "Own cup", "price_delta_cents": price}, {"id": "paper", "name": "Paper"})
    items = [item(modifiers=[cups]), item(id="tea", price_cents=price)]
    fftp.get(MENU, json={"restaurant_name": "Boston Deli", "items": items})

    menu = orderable(ADAPTER.show_menu(MAIN, session))

    assert [each.provider_id for category in menu.categories for each in category.items] == ["soda"]
    assert [option.provider_id for option in menu.option_groups[0].options] == ["soda%3Acup:paper"]
    assert [reason.rpartition("item_provider_id=")[2].split()[0] for reason in menu.left_out[1:]] == ["tea"]


@pytest.mark.rule("MONEY-1", "ERR-3")
def test_prices_in_another_currency_are_not_taken_for_ours(fftp: responses.RequestsMock, session: Session) -> None:
    menu = {"restaurant_name": "Boston Deli", "currency": "EUR", "default_prep_minutes": 20, "items": [item()]}
    fftp.get(MENU, json=menu)
    fftp.post(ORDERS, status=409, json=PRICED)

    for call in (lambda: ADAPTER.show_menu(MAIN, session), lambda: ADAPTER.validate_order(order(), session)):
        with pytest.raises(Unanswered, match="prices are in EUR; the account's currency is USD"):
            call()


@pytest.mark.rule("MENU-6", "ITEM-7")
def test_an_item_whose_choice_cannot_be_made_is_left_out(fftp: responses.RequestsMock, session: Session) -> None:
    """No option of a required group is left, or none that a menu can express."""
    cups = {**group("cup", {"id": "own", "name": "Own cup", "price_delta_cents": -20}), "required": True}
    items = [item(), item(id="tea", modifiers=[cups]), item(id="cola", modifiers=[{**group("ice"), "required": True}])]
    fftp.get(MENU, json={"restaurant_name": "Boston Deli", "default_prep_minutes": 20, "items": items})

    menu = orderable(ADAPTER.show_menu(MAIN, session))

    assert [each.provider_id for category in menu.categories for each in category.items] == ["soda"]
    assert menu.option_groups == ()


@pytest.mark.rule("TIME-11", "META-5")
@pytest.mark.parametrize("minutes, refused", [(20, False), (75, False), (90, True)])
def test_minutes_that_were_not_shown_are_refused(
    fftp: responses.RequestsMock, session: Session, minutes: int, refused: bool
) -> None:
    fftp.get(ORDERS, json=[])
    fftp.get(MENU, json={"restaurant_name": "Boston Deli", "items": [], "default_prep_minutes": minutes})
    wanted = order(shown=Shown(NOW, None, NOW + timedelta(minutes=15)))
    if not refused:
        fftp.post(ORDERS, status=409, json=PRICED)
        fftp.post(ORDERS, status=409, json={"detail": {**PRICED["detail"], "correct_total_cents": 1100}})

    with pytest.raises(Failure) as failure:
        ADAPTER.submit_order(wanted, LevelUp(), session)

    # Where the time is right, the stand-in has a word on the price.
    assert failure.value.code == ("ready_time_unavailable" if refused else "price_changed")
