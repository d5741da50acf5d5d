"""Secrets and accounts: canaries that no error, log or printed result may contain (ERR-4, PAY-2, META-6, META-7)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest

from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused
from levelup_ov.redaction import scrub
from levelup_ov.testing.changes import BROKEN, DOOR, with_words
from levelup_ov.testing.harness import CARD, Bench, Run
from levelup_ov.testing.provider import Refusal, Sample
from levelup_ov.testing.steps import at_step, record, refused
from levelup_ov.transport.tap import Answered, Exchange, Fault, Forward

_KEEPS_SECRETS = re.compile(r"authorization|cookie|token|session|(?<!idempotency-)key|secret|password", re.IGNORECASE)
"""Headers whose values are secrets."""

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({})))
"""Fields that every log line has: names, line numbers, times."""


class Secrecy:
    """Canaries and accounts."""

    refusals: ClassVar[Mapping[str, Refusal]] = {}

    @pytest.mark.rule("ERR-4", "PAY-2", "META-7")
    def test_secrets_stay_out_of_results_errors_and_logs(
        self, bench: Bench, sample: Sample, caplog: pytest.LogCaptureFixture
    ) -> None:
        tender = _paid(bench, sample).tender
        with caplog.at_level(logging.DEBUG):
            quoted = bench.validate(bench.order(sample))
            quote: Quote = quoted.answer
            members = {"cart": quote.cart, "customer_account": quote.customer_account} if bench.provider.reacts else {}
            placed = bench.submit(bench.order(sample, **members), tender)
            placed.answer
            order = bench.order(sample)
            runs = [quoted, placed, bench.submit(order, tender)]
            for answer in (*DOOR.values(), *BROKEN.values()):
                runs += [bench.submit(order, tender, fault) for fault in _each(runs[2], answer)]
        secrets = _secrets(bench, tender, quoted)
        for run in runs:
            for where, text in _reported(run):
                _check_silent(text, secrets, where)
        for line in caplog.records:
            _check_silent(_logged(line), secrets, f"a log line of {line.name}")

    @pytest.mark.rule("ERR-4", "PAY-2", "META-7")
    def test_a_provider_that_echoes_secrets_puts_none_into_errors(self, bench: Bench, sample: Sample) -> None:
        asked = (_refused(bench, refusal.sample) for refusal in self.refusals.values())
        answer = next(filter(None, asked), BROKEN["500"])
        paid = _paid(bench, sample)
        usual, _ = record(bench, paid, submitting=True)
        order, tender = usual.order, paid.tender
        for number in range(len(usual.exchanges)):
            run = bench.submit(order, tender, _echo(usual, number, answer))
            if run.failure is None:
                continue
            # What the service itself masks: the account's settings, the card, and returned sealed values.
            known = [
                *_secrets(bench, tender),
                *order.customer_account.values(),
                *order.cart.values(),
                *run.session.secrets,
            ]
            reported = scrub(run.failure.message, known)
            spoken = [Secret(value) for value in _header_secrets(run)]
            spoken += [Secret(value) for value in _made_up(usual, run)]
            _check_silent(reported, spoken, "an error repeats what was sent; use session.add_secret()")
            for call in run.session.calls:
                _check_silent(call.path, [*known, *spoken], "the path of a call, which is logged")

    @pytest.mark.rule("META-1", "META-6")
    def test_no_account_is_taken_over_by_its_address(self, bench: Bench, sample: Sample) -> None:
        if not bench.provider.adapter.creates_customer_accounts:
            pytest.skip("the adapter declares creates_customer_accounts = False")
        bench.needs_reactions()
        first: Order = bench.order(sample)
        made: Quote = bench.validate(first).answer
        if not made.customer_account:
            pytest.skip(f"guests can order at {sample.location}: no account was made")
        stranger: Quote = bench.validate(bench.order(sample, user=first.user)).answer
        assert stranger.customer_account != made.customer_account, (
            "META-6: a guest with the same e-mail address but no credentials gets the existing account"
        )
        again = bench.validate(bench.order(sample, user=first.user, customer_account=made.customer_account))
        kept = again.answer.customer_account or made.customer_account
        assert kept == made.customer_account, "META-1: the credentials were sent back, but another account was made"

    @pytest.mark.rule("META-7")
    def test_what_comes_back_to_the_adapter_is_a_secret(self, bench: Bench, sample: Sample) -> None:
        quote: Quote = bench.validate(bench.order(sample)).answer
        for name, value in {**quote.cart, **quote.customer_account}.items():
            assert isinstance(value, Secret), f"META-7: {name} of a quote is not a Secret"


def _paid(bench: Bench, sample: Sample) -> Sample:
    """The sample, paid by card if one is accepted: it has the most to hide."""
    tenders = bench.place(sample.location).location.tenders
    if "credit_card" not in (bench.provider.adapter.tenders if tenders is None else tenders):
        return sample
    return Sample(sample.location, *sample.items, tender=CARD, **sample.members)


def _secrets(bench: Bench, tender: Tender, quoted: Run | None = None) -> list[Secret]:
    # A default is not a secret: it is in the adapter's source.
    defaults = {setting.default for setting in bench.provider.adapter.settings.values()}
    given = bench.account.settings.values()
    found = [value for value in given if isinstance(value, Secret) and value.reveal() not in defaults]
    if tender is CARD:
        found += [CARD.number, CARD.cvv]
    if quoted is not None:
        quote: Quote = quoted.answer
        # A cart may contain only an order's id; an account contains credentials or an address.
        found += [value for name, value in quote.customer_account.items() if not _is_address(value)]
    return found


def _is_address(value: Secret) -> bool:
    return "@" in value.reveal()


def _reported(run: Run) -> Iterator[tuple[str, str]]:
    yield "the result", repr(run.value)
    error: BaseException | None = run.failure
    while error is not None:
        yield f"{type(error).__name__}", f"{error!s} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    for call in run.session.calls:
        yield "the path of a call, which is logged", f"{call.path} {call.failure}"
    for trace in run.traces:
        yield "the trace, which is kept in the ledger", repr(trace)


def _logged(record: logging.LogRecord) -> str:
    extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    return f"{record.getMessage()} {extra} {record.exc_info[1] if record.exc_info else ''}"


def _check_silent(text: str, secrets: list[Secret], where: str) -> None:
    for secret in secrets:
        value = secret.reveal()
        # A CVV is short, so it does not count inside a number or as a group of a UUID.
        if value and re.search(rf"(?<![\w-])(?<!\d\.){re.escape(value)}(?!\w|-\w|\.\d)", text):
            # Not an assert, because its output would contain the secret.
            pytest.fail(f"ERR-4: a secret ({_kind(secret)}) is found in {where}", pytrace=False)


def _kind(secret: Secret) -> str:
    named: Mapping[str, str] = {CARD.number.reveal(): "the card's number", CARD.cvv.reveal(): "the card's CVV"}
    return named.get(secret.reveal(), "of the account or the customer")


def _refused(bench: Bench, sample: Sample) -> Answered | None:
    """The provider's own answer when it refuses this order; None if the adapter does not ask it."""
    run = refused(bench, sample)
    return run.exchanges[-1].answer if run.exchanges and isinstance(run.failure, Refused) else None


def _each(usual: Run, answer: Answered) -> Iterator[Fault]:
    for number in range(len(usual.exchanges)):
        yield at_step(usual, number, lambda exchange, forward: answer)


def _echo(usual: Run, number: int, refused: Answered) -> Fault:
    """The refusal, with the whole request echoed in it."""

    def answer(exchange: Exchange, forward: Forward) -> Answered:
        words = " ".join([*exchange.headers.values(), *exchange.values()])
        return with_words(refused, f"you said {words}")

    return at_step(usual, number, answer)


def _header_secrets(run: Run) -> Iterator[str]:
    for exchange in run.exchanges:
        for name, value in exchange.headers.items():
            if _KEEPS_SECRETS.search(name) and value:
                yield value.rpartition(" ")[2]


def _made_up(usual: Run, run: Run) -> Iterator[str]:
    """The values in this run that replace secrets which the adapter generated in the usual run."""
    account = {value.reveal() for value in getattr(usual.value, "account", {}).values() if not _is_address(value)}
    for one, other in zip(usual.exchanges, run.exchanges):
        for before, now in zip(one.values(), other.values()):
            if before in account:
                yield now
