"""The tools of each face: the operations that REST has, too, and the menu in parts that a model can read (UCP-10)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import Menu
from levelup_ov.ledger.identity import sorted_json
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.sessions.model import RequestKey
from levelup_ov.transport.deadline import Deadline
from levelup_ov.ucp import menu_search
from levelup_ov.ucp import tool_schemas as schemas
from levelup_ov.ucp.catalog import Catalog
from levelup_ov.ucp.mcp_methods import Tool
from levelup_ov.ucp.menu_search import MOST_FOUND, SearchPage
from levelup_ov.ucp.negotiation import Agent, check_agent
from levelup_ov.ucp.operations import AgentCall, Operations, in_words_of_ucp
from levelup_ov.ucp.problems import BusinessOutcome, Rejected, outcome, rejected
from levelup_ov.ucp.profile import envelope, error_envelope
from levelup_ov.ucp.tool_schemas import CURSOR, FOOD_CHECKOUT, ID, LIMIT, PAYMENT, SHOPPING_CHECKOUT, WORDS, arguments

Arguments = Mapping[str, Any]
Answer = Mapping[str, Any]
MakeCall = Callable[[str, Agent, RequestKey | None, RequestContext], AgentCall]
"""Makes the call of a caller's agent. :raises Rejected: the agent's profile cannot be used."""

USUALLY_FOUND = 10


class Toolbox:
    """Makes tools of operations; ``call`` makes the call of an agent."""

    def __init__(self, call: MakeCall, catalog: Catalog, service: Service, settings: Settings) -> None:
        self._call = call
        self._catalog = catalog
        self._service = service
        self._settings = settings

    def food(self, operations: Operations) -> dict[str, Tool]:
        """The tools of the food face."""
        place = schemas.members(("id",), id=schemas.text("id from list_establishments"))
        more = (
            self._tool("list_establishments", "food", self._establishments,
                       "Lists the establishments that take orders, or finds them by name, merchant or address.",
                       arguments(query=WORDS, limit=LIMIT, cursor=CURSOR)),
            self._tool("search_menu", "food", self._search_menu,
                       "Finds dishes of an establishment by words; without words, lists its menu page by page.",
                       arguments(("food_establishment",), food_establishment=place, query=WORDS, limit=LIMIT,
                                 cursor=CURSOR)),
            self._tool("get_dish", "food", self._get_dish,
                       "Shows a dish with its modifications. Modifications below one are chosen together with it. A "
                       "group needs at least its minimum of them.",
                       arguments(("food_establishment", "id"), food_establishment=place,
                                 id=schemas.text("id of the dish"),
                                 under=schemas.text("id of a modification, to see only those below it"))),
        )  # fmt: skip
        return {tool.name: tool for tool in (*more, *self._checkouts(operations, FOOD_CHECKOUT))}

    def shopping(self, operations: Operations) -> dict[str, Tool]:
        """The tools of the shopping face."""
        ids = schemas.several(schemas.text("id of a product"))
        page = schemas.members(limit=LIMIT, cursor=schemas.text("cursor of the page before"))
        search = schemas.members(("query",), query=schemas.SEARCHED, pagination=page)
        more = (
            self._tool("search_catalog", "search", lambda call, given: self._catalog.search(call, given.get("catalog")),
                       "Finds products by words; * finds all.", arguments(("catalog",), catalog=search)),
            self._tool("lookup_catalog", "lookup", lambda call, given: self._catalog.lookup(call, given.get("catalog")),
                       "Shows products by their ids.",
                       arguments(("catalog",), catalog=schemas.members(("ids",), ids=ids))),
            self._tool("get_product", "lookup", lambda call, given: self._catalog.product(call, given.get("catalog")),
                       "Shows one product.",
                       arguments(("catalog",), catalog=schemas.members(("id",), id=schemas.text("id of the product")))),
            self._tool("get_order", "order", lambda call, given: operations.order(call, _id(given)),
                       "Shows an order that a checkout led to.",
                       arguments(("id",), id=schemas.text("id of the order, as the checkout names it"))),
        )  # fmt: skip
        return {tool.name: tool for tool in (*more, *self._checkouts(operations, SHOPPING_CHECKOUT))}

    def _checkouts(self, operations: Operations, checkout: schemas.Schema) -> Iterator[Tool]:
        kind = operations.face.name
        yield self._tool(
            "create_checkout", kind, lambda call, given: operations.create(call, given.get("checkout")),
            "Prices a basket and keeps it. Its messages say what is still missing or cannot be had.",
            arguments(("checkout",), "change", checkout=checkout), writes=True,
        )  # fmt: skip
        yield self._tool(
            "get_checkout", kind, lambda call, given: operations.read(call, _id(given)),
            "Shows a checkout as it is now. While one is complete_in_progress, ask again until it is not.",
            arguments(("id",), id=ID),
        )  # fmt: skip
        yield self._tool(
            "update_checkout", kind, lambda call, given: operations.update(call, _id(given), given.get("checkout")),
            "Replaces a checkout, and prices it again. Send all of it: what is left out, such as the buyer, the "
            "fulfillment or the tip, is removed.",
            arguments(("id", "checkout"), "change", id=ID, checkout=checkout), writes=True,
        )  # fmt: skip
        yield self._tool(
            "complete_checkout", kind, lambda call, given: operations.complete(call, _id(given), given.get("checkout")),
            "Places the order of a checkout that is ready_for_complete, and charges its total. Repeat it only under "
            "the same idempotency key.",
            arguments(("id", "checkout"), "order", id=ID, checkout=PAYMENT), writes=True, needs_key=True,
        )  # fmt: skip
        yield self._tool(
            "cancel_checkout", kind, lambda call, given: operations.cancel(call, _id(given)),
            "Gives up a checkout whose order is not placed.",
            arguments(("id",), "cancellation", id=ID), writes=True, needs_key=True,
        )  # fmt: skip

    def _tool(
        self, name: str, kind: str, work: Callable[[AgentCall, Arguments], Answer], description: str,
        schema: schemas.Schema, *, writes: bool = False, needs_key: bool = False,
    ) -> Tool:  # fmt: skip
        """``kind``: what its answers are about."""

        def run(caller: str, given: Arguments, context: RequestContext) -> Answer:
            try:
                agent, key = _read_meta(name, given, self._settings.agent_profiles, needs_key=needs_key)
                if missing := [member for member in schema["required"] if member not in given]:
                    raise _invalid(f"$.{missing[0]}", "is missing")
                return work(self._call(caller, agent, key if writes else None, context), given)
            except BusinessOutcome as error:
                return {"ucp": error_envelope(kind), "messages": [each.wire() for each in error.messages]}

        return Tool(name, name.replace("_", " ").capitalize(), description, schema, run, writes)

    def _establishments(self, call: AgentCall, given: Arguments) -> Answer:
        found = self._catalog.establishments(call)
        page = menu_search.find_establishments(found["food_establishments"], *_page(given))
        return _paged(found["ucp"], "food_establishments", page)

    def _search_menu(self, call: AgentCall, given: Arguments) -> Answer:
        place, menu = self._menu(call, given)
        page = menu_search.find_dishes(menu, *_page(given))
        return {**_paged(envelope("food", call.negotiated), "dishes", page), "currency": place.location.currency}

    def _get_dish(self, call: AgentCall, given: Arguments) -> Answer:
        place, menu = self._menu(call, given)
        under = given.get("under")
        found = menu_search.dish(menu, _id(given), under if isinstance(under, str) else "")
        if found is None:
            raise outcome("not_found", "there is no such dish, or no such modification of it", "$.id")
        return {"ucp": envelope("food", call.negotiated), "dish": found, "currency": place.location.currency}

    def _menu(self, call: AgentCall, given: Arguments) -> tuple[RoutedLocation, Menu]:
        establishment = given.get("food_establishment")
        id = establishment.get("id") if isinstance(establishment, dict) else None
        if not isinstance(id, str):
            raise _invalid("$.food_establishment.id", "expected the id of an establishment")
        call.context.deadline = Deadline(self._settings.reading_deadline)
        with in_words_of_ucp():
            return self._service.routing.find(id, call.context), self._service.menus.show(id, call.context)


def _read_meta(
    name: str, given: Arguments, origins: Collection[str], *, needs_key: bool
) -> tuple[Agent, RequestKey | None]:
    """The agent and the idempotency key in ``meta``; the key is bound to everything else that is given."""
    meta = given.get("meta")
    agent = meta.get("ucp-agent") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(agent, dict):
        raise Rejected("invalid_profile_url", 'expected meta["ucp-agent"].profile', 400, path="$.meta")
    known = check_agent(agent.get("profile"), agent.get("version", ""), origins)
    text = meta.get("idempotency-key")
    if text is None and not needs_key:
        return known, None
    try:
        value = str(uuid.UUID(text if isinstance(text, str) else ""))
    except ValueError:
        raise _invalid('$.meta["idempotency-key"]', "expected a UUID") from None
    rest = {member: content for member, content in given.items() if member != "meta"}
    return known, RequestKey(value, sorted_json([name, rest]))


def _page(given: Arguments) -> tuple[str, int, int]:
    """Words, limit and offset of a search."""
    query, limit, cursor = given.get("query", ""), given.get("limit", USUALLY_FOUND), given.get("cursor", "0")
    if not isinstance(query, str) or len(query) > 200:
        raise _invalid("$.query", "expected at most 200 characters")
    if type(limit) is not int or not 1 <= limit <= MOST_FOUND:
        raise _invalid("$.limit", f"expected an integer from 1 to {MOST_FOUND}")
    if not isinstance(cursor, str) or not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
        raise _invalid("$.cursor", "expected the next_cursor of an answer")
    return query, limit, int(cursor)


def _paged(ucp: Answer, name: str, page: SearchPage) -> dict[str, Any]:
    return {"ucp": ucp, name: page.entries, **({"next_cursor": page.next_cursor} if page.next_cursor else {})}


def _id(given: Arguments) -> str:
    id = given.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= 1000:
        raise _invalid("$.id", "expected an id")
    return id


def _invalid(path: str, words: str) -> Rejected:
    return rejected(Failure("invalid_member", f"{path}: {words}", path=path))
