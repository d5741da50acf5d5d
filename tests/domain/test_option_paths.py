"""Nesting written into option ids, and read back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.options import MAX_DEPTH, Choice, Option, decode_path, encode_path, flatten, nest

IDS = st.text(max_size=8) | st.text(":%253Aa", max_size=6)
DEEP = 1_500
"""More levels than Python lets functions call one another."""


def _siblings(children: st.SearchStrategy[tuple[Choice, ...]]) -> st.SearchStrategy[tuple[Choice, ...]]:
    choices = st.builds(
        Choice, IDS, IDS, st.integers(1, 99), st.dictionaries(st.just("integration_x"), st.integers()), children
    )
    return st.lists(choices, max_size=4, unique_by=lambda choice: (choice.group_id, choice.option_id)).map(tuple)


TREES = st.recursive(st.just(()), _siblings, max_leaves=12)


@pytest.mark.rule("ITEM-3", "ITEM-4")
@given(st.lists(IDS, min_size=1))
def test_decoding_gives_back_every_id_exactly(ids: list[str]) -> None:
    assert decode_path(encode_path(*ids)) == tuple(ids)


@pytest.mark.rule("ITEM-4")
@given(st.lists(IDS, min_size=1), st.lists(IDS, min_size=1))
def test_different_ids_have_different_paths(left: list[str], right: list[str]) -> None:
    assert (encode_path(*left) == encode_path(*right)) == (left == right)


@pytest.mark.rule("ITEM-3")
def test_a_path_reads_parents_first() -> None:
    assert encode_path("side", "fries", "sauce", "mayo") == "side:fries:sauce:mayo"
    assert encode_path("a:b", "100%") == "a%3Ab:100%25"


@pytest.mark.rule("ITEM-4")
@pytest.mark.parametrize("path", ["a:%", "a:%4", "a:%41", "%zz:b"])
def test_an_escape_that_is_never_written_is_refused(path: str) -> None:
    with pytest.raises(ValueError):
        decode_path(path)


@pytest.mark.rule("ITEM-2", "ITEM-3")
@given(TREES)
def test_a_tree_survives_being_flattened(tree: tuple[Choice, ...]) -> None:
    assert nest(flatten(tree)) == tree


@pytest.mark.rule("ITEM-2")
@given(TREES, st.randoms(use_true_random=False))
def test_the_order_of_the_flat_list_does_not_matter(tree: tuple[Choice, ...], random) -> None:
    flat = list(flatten(tree))
    random.shuffle(flat)
    by_id = {option.provider_id: option for option in flatten(nest(flat))}
    assert by_id == {option.provider_id: option for option in flat}


@pytest.mark.rule("ITEM-5")
@given(TREES, st.data())
def test_an_orphan_is_refused_naming_child_and_parent(tree: tuple[Choice, ...], data: st.DataObject) -> None:
    flat = flatten(tree)
    parents = [option for option in flat if _children(option, flat)]
    if not parents:
        return
    lost = data.draw(st.sampled_from(parents))
    left = [option for option in flat if option is not lost]
    with pytest.raises(Failure) as caught:
        nest(left, path="$.order.items[0].item")
    assert caught.value.code == "orphan_option"
    assert any(
        f"option {child.provider_id} was chosen without its parent option {lost.provider_id}" == caught.value.message
        and caught.value.path == f"$.order.items[0].item.options[{left.index(child)}].option.provider_id"
        for child in _children(lost, flat)
    )


def _children(parent: Option, options: tuple[Option, ...]) -> Iterator[Option] | list[Option]:
    ids = decode_path(parent.provider_id)
    return [option for option in options if decode_path(option.provider_id)[:-2] == ids]


@pytest.mark.rule("ITEM-5")
@pytest.mark.parametrize("provider_id", ["", "fries", "side:fries:sauce", "side:%41", "side%3afries:x", "%"])
def test_an_id_that_no_menu_has_is_an_unknown_option(provider_id: str) -> None:
    with pytest.raises(Failure) as caught:
        nest([Option("side:salad"), Option(provider_id)], path="$.x")
    assert caught.value.code == "unknown_option"
    assert caught.value.path == "$.x.options[1].option.provider_id"
    assert repr(provider_id) in caught.value.message


@pytest.mark.rule("ITEM-5", "ITEM-6")
def test_an_option_listed_twice_counts_with_the_sum() -> None:
    twice = [Option("g:o", 2, {"integration_a": 1}), Option("h:p"), Option("g:o", 3, {"integration_b": 2})]
    assert nest(twice) == (Choice("g", "o", 5, {"integration_a": 1, "integration_b": 2}), Choice("h", "p"))


@pytest.mark.rule("ITEM-3")
def test_more_levels_than_any_menu_has_are_read_in_any_order() -> None:
    paths = [Option(":".join(f"{n}:o" for n in range(level + 1))) for level in range(MAX_DEPTH)]
    assert list(flatten(nest(reversed(paths)))) == paths


@pytest.mark.rule("ITEM-3")
def test_a_made_up_chain_is_refused_before_it_exhausts_the_stack() -> None:
    chain = [Option(":".join(f"{n}:o" for n in range(level + 1))) for level in range(DEEP)]
    with pytest.raises(Failure) as caught:
        nest(chain)
    assert (caught.value.code, caught.value.path) == ("unknown_option", f"$.options[{MAX_DEPTH}].option.provider_id")
