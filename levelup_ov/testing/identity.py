"""Whose order an answer is about: never report a stranger's order, and accept only real proof of none (SUB-8).

The adapter's own exchanges are played back, with one answer mixed up by the network, a cache or the provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from levelup_ov.adapter import Adapter
from levelup_ov.domain.order import User
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.status import OrderStatus
from levelup_ov.testing.changes import changes
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.outcomes import check_placed
from levelup_ov.testing.provider import Refusal, Sample
from levelup_ov.testing.steps import Step, answering, at_step, instead, record, refused
from levelup_ov.transport.connections import current_exchange
from levelup_ov.transport.tap import Answered, Exchange, Fault, Forward, Player, unreachable

OTHER_SUCCESSES = (202, 203, 204, 205, 206, 226)
"""2xx that say less than "done", or come from an intermediary."""
REFUSING_STATUSES = (400, 404, 405, 409, 410, 422)
_JSON = {"Content-Type": "application/json"}
_FOREIGN = {"timestamp": "2026-11-22T17:00:00.000Z", "status": 404, "error": "Not Found", "path": "/"}
FOREIGN_FORMS: Mapping[str, tuple[Mapping[str, str], bytes]] = {
    "no body": ({}, b""),
    "a page": ({"Content-Type": "text/html"}, b"<html><h1>Not Found</h1></html>"),
    "an empty object": (_JSON, b"{}"),
    "an empty list": (_JSON, b"[]"),
    "the error of another server": (_JSON, json.dumps(_FOREIGN).encode()),
}
"""Bodies that no provider documents as its refusal."""
STRANGER = User("Bob", "Stranger", "+16175550199", "bob.stranger@example.com")


class Echoes:
    """Only the provider's own answer about this very order counts."""

    @pytest.mark.rule("SUB-8")
    def test_an_order_says_its_reference_back(self, bench: Bench, sample: Sample) -> None:
        run, _ = record(bench, sample, submitting=True)
        check_echo(bench.provider.adapter, run.answer, run.order.reference)

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_an_answer_with_another_reference_is_not_ours(self, bench: Bench, sample: Sample) -> None:
        _needs_echo(bench)
        baseline, steps = record(bench, sample, submitting=True)
        for step in _from_placing(steps):
            for answer, member in of_another(step, baseline.order.reference):
                run = bench.submit(baseline.order, sample.tender, instead(baseline, step, answer))
                _check_not_believed(run, baseline.order.reference, f"{member} in the answer to {step.call}")

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_the_answer_of_another_order_is_not_ours(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        _needs_echo(bench)
        stranger, strange = record(bench, sample, submitting=True, number=1)
        baseline, steps = record(bench, sample, submitting=True)
        theirs = stranger.answer.provider_order_id
        assert theirs != baseline.answer.provider_order_id, "SUB-3: two references gave one order"
        for step, other in zip(_from_placing(steps), _from_placing(strange)):
            run = bench.submit(baseline.order, sample.tender, instead(baseline, step, other.answer))
            if run.failure is not None:
                _check_unknown(run, f"another order in the answer to {step.call}")
                continue
            reported: Placed = run.answer
            assert reported.reference != baseline.order.reference or reported.provider_order_id != theirs, (
                f"SUB-8: the answer to {step.call} is another guest's order ({theirs}), but is reported as ours: "
                "read Placed.reference from that answer"
            )

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_an_order_that_the_provider_does_not_keep(self, bench: Bench, sample: Sample) -> None:
        """The placing call is confirmed, but in the calls after it the provider does not have the order."""
        bench.needs_reactions()
        baseline, steps = record(bench, sample, submitting=True)
        if not any(step.placed for step in steps):
            pytest.skip("no call follows the placing call, so none can contradict it")
        order, placed = bench.order(sample), baseline.answer
        changed = {baseline.order.reference: order.reference or "", placed.provider_order_id: _made_up(placed)}
        confirmed = [_renamed(step.exchange, changed) for step in steps if not step.placed]
        player, done = Player(confirmed), False

        def play(exchange: Exchange, forward: Forward) -> Answered:
            nonlocal done
            if done:
                return forward()
            done = exchange.places_order
            return player(exchange, forward)

        run = bench.submit(order, sample.tender, play)
        assert run.failure is not None, (
            f"SUB-8: the provider confirmed the order but does not have it, as the answer to "
            f"{_last(run)} shows; it is reported as placed. {run.story()}"
        )
        _check_unknown(run, f"an order that {_last(run)} does not know")

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_another_success_than_the_documented_one(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=True)
        for step in steps:
            for status in _undocumented(baseline):
                if not step.exchange.places_order:
                    continue
                answer = step.answer._replace(status=status)
                run = bench.submit(baseline.order, sample.tender, instead(baseline, step, answer))
                what = f"status {status} to {step.call}"
                assert run.failure is not None, f"SUB-8: {what} is not documented as success, but is reported as placed"
                _check_unknown(run, what)

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_a_refusal_in_a_form_that_nobody_documents(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=True)
        for step in steps:
            if step.exchange.places_order:
                for what, answer in _foreign_refusals():
                    run = bench.submit(baseline.order, sample.tender, instead(baseline, step, answer))
                    _check_unknown(run, f"{what} to {step.call}")

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_a_look_up_believes_only_what_proves(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        if bench.provider.adapter.recovery != "look_up":
            pytest.skip("the adapter declares recovery = 'replay'")
        found, trace = _found(bench, sample)
        order = found.order
        assert isinstance(found.answer, Placed), "SUB-5: an order that was just placed is not found"
        check_echo(bench.provider.adapter, found.answer, order.reference)
        for number, exchange in enumerate(found.exchanges):
            step = Step(number, exchange, False)
            for what, answer, reported, absent in _unproven(step, order.reference or "", found):
                run = bench.find(order, trace, at_step(found, number, answering(answer)))
                if run.failure is not None or (absent and run.value is None):
                    continue
                assert run.value is not None, (
                    f"SUB-5: with {what} in the answer to {step.call}, the look-up says that there is no order; "
                    "only the documented answer may"
                )
                # An adapter may ask again, and then rely on that answer.
                asked_again = len(run.exchanges) > number + 1 and _says(run.exchanges[-1], order.reference or "")
                assert not reported or asked_again or run.value.reference != order.reference, (
                    f"SUB-8: with {what} in the answer to {step.call}, the order is reported as ours"
                )

    @pytest.mark.rule("META-3", "META-5")
    def test_a_cart_stays_with_its_guest(self, bench: Bench, sample: Sample) -> None:
        """The channel mixes up the results of two guests' validations; see META-3."""
        bench.needs_reactions()
        ada = bench.order(sample)
        quote: Quote = bench.validate(ada).answer
        mixed_up = bench.submit(bench.order(sample, user=STRANGER, cart=quote.cart), sample.tender)
        if mixed_up.failure is None:
            kept = [value.reveal() for value in (*quote.cart.values(), *quote.customer_account.values())]
            for name, sent in _own_headers(bench, mixed_up):
                assert not any(sent in secret for secret in kept), (
                    f"META-3: an order is placed with the {name} of another guest's cart"
                )
        members = {"cart": quote.cart, "customer_account": quote.customer_account, "user": ada.user}
        again = bench.submit(bench.order(sample, **members), sample.tender)
        assert again.failure is None, (
            f"META-3: a guest is refused because another guest used the same cart before: {again.failure!r}"
        )

    @pytest.mark.rule("SUB-8", "META-3", "META-11")
    def test_the_answer_to_another_guests_validation(self, bench: Bench, sample: Sample) -> None:
        """Two guests validate the same items, and one gets the other's answer."""
        bench.needs_reactions()
        theirs = bench.validate(bench.order(sample, user=STRANGER))
        theirs.answer
        ours = bench.order(sample)
        mixed_up = bench.validate(ours, Player(theirs.exchanges))
        if mixed_up.failure is not None:
            return  # it was noticed
        quote: Quote = mixed_up.value
        account = quote.customer_account or ours.customer_account
        members = {"cart": quote.cart, "customer_account": account, "user": ours.user}
        _check_whose(bench, bench.submit(bench.order(sample, **members), sample.tender), "a validation")

    @pytest.mark.rule("SUB-8", "META-11")
    def test_the_cart_of_another_guest_is_not_ordered(self, bench: Bench, sample: Sample) -> None:
        """While an order is placed, one of its calls gets the answer to another guest's, who orders the same."""
        bench.needs_reactions()

        def place_nothing(exchange: Exchange, forward: Forward) -> Answered:
            return unreachable(exchange, forward) if exchange.places_order else forward()

        theirs = bench.submit(bench.order(sample, user=STRANGER), sample.tender, place_nothing)
        for number, exchange in enumerate(theirs.exchanges):
            if exchange.answer is not None:
                run = bench.submit(bench.order(sample), sample.tender, _swapped(number, exchange.answer))
                _check_whose(bench, run, f"{exchange.method} {exchange.path}")

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_a_refusal_of_something_else_proves_no_absence(
        self, bench: Bench, sample: Sample, refusal: Refusal
    ) -> None:
        """The provider answers a look-up as it refuses an order."""
        bench.needs_reactions()
        if bench.provider.adapter.recovery != "look_up":
            pytest.skip("the adapter declares recovery = 'replay'")
        reported = refused(bench, refusal.sample)
        answers = [exchange.answer for exchange in reported.exchanges if exchange.answer is not None]
        if reported.failure is None or not answers:
            pytest.skip("the adapter itself refuses this order")
        found, trace = _found(bench, sample)
        found.answer
        for number, exchange in enumerate(found.exchanges):
            run = bench.find(found.order, trace, at_step(found, number, answering(answers[-1])))
            assert run.failure is not None or run.value is not None, (
                f"SUB-5: the answer to {Step(number, exchange).call} is the refusal of another request "
                f"({reported.failure}), and the look-up says that there is no order"
            )

    @pytest.mark.rule("SUB-10")
    def test_a_fence_refuses_what_comes_late(self, bench: Bench, sample: Sample) -> None:
        if not bench.provider.adapter.fences:
            pytest.skip("the adapter declares fences = False")
        bench.needs_reactions()
        order, before, late = bench.order(sample), bench.held(), list[Forward]()

        def hold_back(exchange: Exchange, forward: Forward) -> Answered:
            if not exchange.places_order:
                return forward()
            late.append(partial(copy_context().run, forward))
            current_exchange.get().sent = True
            raise TimeoutError

        run = bench.submit(order, sample.tender, hold_back)
        assert run.traces, f"SUB-2: no call of the submission says places_order=True. {run.story()}"
        bench.fence(order, run.traces[-1]).answer
        assert bench.find(order, run.traces[-1]).answer is None, (
            "SUB-10: after a fence, an order is found that was not placed"
        )
        answer = late[0]()
        assert bench.held() == before, f"SUB-10: after the fence the placing call still places: status {answer.status}"
        placed = bench.submit(kept := bench.order(sample), sample.tender)
        placed.answer
        bench.fence(kept, placed.traces[-1]).answer
        found = bench.find(kept, placed.traces[-1]).answer
        assert isinstance(found, Placed), "SUB-10: a fence removes a placed order"


def _found(bench: Bench, sample: Sample) -> tuple[Run, Any]:
    """The look-up of an order, one for all tests; and its trace."""
    placed, _ = record(bench, sample, submitting=True)
    trace, key = placed.traces[-1] if placed.traces else None, ("found", sample)
    if key not in bench.provider.kept:
        bench.provider.kept[key] = bench.find(placed.order, trace)
    found: Run = bench.provider.kept[key]
    return found, trace


def _swapped(number: int, answer: Answered) -> Fault:
    """The provider's own answers, but for call no. ``number``."""
    seen = dict[int | None, int]()

    def play(exchange: Exchange, forward: Forward) -> Answered:
        if seen.setdefault(exchange.number, len(seen)) != number:
            return forward()
        current_exchange.get().look()
        current_exchange.get().sent = True
        return answer

    return play


def _check_whose(bench: Bench, run: Run, call: str) -> None:
    """That no order was placed for :data:`STRANGER`; a failure shows that the mistake was noticed."""
    if run.failure is not None:
        return
    held = bench.content(run.answer.provider_order_id)
    if held is None:
        pytest.skip("it is not known whose order the provider placed: give Provider.orders with the guest's name")
    found = [name for name in (STRANGER.email, STRANGER.phone, STRANGER.name) if name and name in "\n".join(held)]
    assert not found, (
        f"SUB-8: another guest's answer to {call} is believed, and their cart is ordered, for {found[0]}: compare "
        "whose cart the provider's answer is, or name the guest again when the order is placed"
    )


def check_echo(adapter: type[Adapter], reported: Placed | OrderStatus, reference: str | None) -> None:
    """Check that what the adapter returns has the order's reference, or that the adapter declares why it has none."""
    member = f"{type(reported).__name__}.reference"
    if reported.reference is None:
        assert adapter.echoes_nothing, (
            f"SUB-8: {member} is None: read it from the provider's answer, or declare echoes_nothing with the "
            "statement of the provider's documentation"
        )
        return
    assert reported.reference == reference, f"SUB-8: {member} is {reported.reference!r}, not that of the order"


def _needs_echo(bench: Bench) -> None:
    if statement := bench.provider.adapter.echoes_nothing:
        pytest.skip(f"the adapter declares that its provider echoes nothing: {statement}")


def _from_placing(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.placed or step.exchange.places_order]


def of_another(step: Step, reference: str) -> Iterator[tuple[Answered, str]]:
    """The answer with a different reference, and without one, wherever it occurs; with the path of the member."""
    answer = step.answer
    try:
        value = json.loads(answer.body)
    except ValueError:
        return
    if not (paths := list(_holding(value, reference))):
        return
    other = uuid4().hex if len(reference) == 32 else str(uuid4())
    for replacement, what in ((other, "another reference"), ("", "no reference")):
        yield (
            answer._replace(body=answer.body.replace(reference.encode(), replacement.encode())),
            (f"{what} at {' and '.join(paths)}"),
        )


def _holding(value: Any, text: str, path: str = "$") -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _holding(member, text, f"{path}.{name}")
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _holding(member, text, f"{path}[{position}]")
    elif isinstance(value, str) and text in value:
        yield path


def _check_not_believed(run: Run, reference: str, what: str) -> None:
    if run.failure is not None:
        _check_unknown(run, what)
        return
    check_placed(run.answer, after_fault=True)
    # An adapter may ask again, and then rely on that answer.
    asked_again = _says(run.exchanges[-1], reference)
    assert asked_again or run.answer.reference != reference, (
        f"SUB-8: {what}, but the order is reported as ours: take Placed.reference from that answer, not from the order"
    )


def _says(exchange: Exchange, reference: str) -> bool:
    return exchange.answer is not None and reference.encode() in exchange.answer.body


def _check_unknown(run: Run, what: str) -> None:
    assert run.failure is not None and not run.proves_no_order, (
        f"SUB-5: {what} proves nothing, an order may exist; but it is reported as {run.failure!r}"
    )


def _made_up(placed: Placed) -> str:
    """An id of the same form that the provider does not have."""
    known = placed.provider_order_id
    if known.isdecimal():
        return str(int(known) + 10**6)
    return known[:-1] + ("0" if known[-1] != "0" else "1")


def _renamed(exchange: Exchange, changed: Mapping[str, str]) -> Exchange:
    answer = exchange.answer
    assert answer is not None
    body = answer.body
    for old, new in changed.items():
        body = body.replace(old.encode(), new.encode())
    headers = {name: text for name, text in answer.headers.items() if name.lower() != "content-length"}
    return Exchange(
        exchange.method, exchange.url, places_order=exchange.places_order, answer=Answered(answer.status, headers, body)
    )


def _last(run: Run) -> str:
    return f"{run.exchanges[-1].method} {run.exchanges[-1].path}"


def _undocumented(run: Run) -> Iterator[int]:
    return (status for status in OTHER_SUCCESSES if status not in run.session.also)


def _foreign_refusals() -> Iterator[tuple[str, Answered]]:
    for status in REFUSING_STATUSES:
        for form, (headers, body) in FOREIGN_FORMS.items():
            yield f"{status} with {form}", Answered(status, headers, body)


def _unproven(step: Step, reference: str, found: Run) -> Iterator[tuple[str, Answered, bool, bool]]:
    """Answers to a look-up that do not prove that there is no order.

    Also whether they prove an order, and whether they may be read as a list without ours.
    """
    answer = step.answer
    for status in _undocumented(found):
        yield f"status {status}", answer._replace(status=status), True, False
        yield f"status {status} and nothing", Answered(status, _JSON, b"[]"), True, False
    yield "its second half cut off", answer._replace(body=answer.body[: len(answer.body) // 2]), True, False
    for another, member in of_another(step, reference):
        if not member.startswith("no "):
            yield member, another, True, _is_list(answer)
    for change in changes(answer):
        # One row less is a different list; a null may be the documented answer.
        if not change.what.endswith("is null") and not change.what.endswith("] is missing"):
            yield change.what, change.answer, False, False


def _is_list(answer: Answered) -> bool:
    """Whether a row may be a stranger's; the adapter then skips it."""
    return answer.body.lstrip().startswith(b"[")


def _own_headers(bench: Bench, run: Run) -> Iterator[tuple[str, str]]:
    """Headers of a run that the account does not set."""
    usual: Callable[[], Mapping[str, str]] = bench.adapter().headers
    for exchange in run.exchanges:
        for name, value in exchange.headers.items():
            if len(value) >= 16 and value not in usual().values() and "json" not in value:
                yield name, value.rpartition(" ")[2]
