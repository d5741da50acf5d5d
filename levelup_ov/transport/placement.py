"""Whether one attempt may have placed an order: was the placing call sent, and what was answered (SUB-2, SUB-5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

LastLook = Callable[[Mapping[str, Any] | None], None]


class Placement:
    """One attempt to place the order of one submission.

    No order exists before the placing call is about to be sent. :meth:`look` asks ``last_look`` whether it may still
    be sent; from :meth:`begin` on, an order may exist. Only proof ends that: no try of the call left the host, or the
    provider answered every try with a refusal. A refusal proves nothing while another try is unanswered, and a refusal
    of any later call proves nothing about the order. Another placing call, which the provider would not recognize as
    the same, is not sent before every earlier one is proven to have had no effect (:attr:`may_send_another`).

    ``last_look`` receives the adapter's trace, and raises a failure if nothing may be sent. ``trace`` is the last one.
    """

    def __init__(self, last_look: LastLook | None = None) -> None:
        self._last_look = last_look
        self.trace: Mapping[str, Any] | None = None
        self.may_exist = False
        self.is_unanswered = False
        """Whether a placing call was sent, and its answer is missing or was not understood."""
        self._is_open = False

    @property
    def may_send_another(self) -> bool:
        """Whether no earlier placing call may have placed an order."""
        return not self._is_open

    def look(self, trace: Mapping[str, Any] | None) -> None:
        """Take the last look: the call is ready, and no byte of it was sent.

        :raises levelup_ov.domain.failure.Failure: do not send.
        """
        if self._last_look is not None:
            self._last_look(trace)
        self.trace = trace

    def begin(self) -> None:
        """The placing call is sent next, or its answer is here."""
        self.may_exist = self._is_open = True

    def unanswered(self, *, before: bool, sent: bool) -> None:
        """The placing call ended without an answer.

        ``before``: whether an order might have existed before the call; ``sent``: whether any try of it was sent.
        """
        self.may_exist = before or sent
        self.is_unanswered = self.is_unanswered or sent
        self._is_open = self._is_open and self.may_exist

    def refused(self, *, before: bool, sent: bool) -> bool:
        """The provider refused the placing call. Whether that proves that there is no order.

        ``before`` as in :meth:`unanswered`; ``sent``: whether an earlier try of this call was sent and not answered.
        """
        self.is_unanswered = self.is_unanswered or sent
        proves_none = not before and not sent
        self._is_open = not proves_none
        return proves_none

    def nothing_placed(self) -> None:
        """The adapter continues after a refused placing call, whose answer proved that there is no order."""
        self.may_exist = self._is_open = self.is_unanswered
