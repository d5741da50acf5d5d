"""A mutant names what it replaces in the product, which may get another name there."""

from __future__ import annotations

import pytest

from tests.simulation.checkout_mutants import CHECKOUT_MUTANTS
from tests.simulation.mutants import MUTANTS


@pytest.mark.parametrize("name", [*MUTANTS, *CHECKOUT_MUTANTS])
def test_what_a_mutant_replaces_exists(name: str) -> None:
    for mutants in (MUTANTS, CHECKOUT_MUTANTS):
        if name in mutants:
            with mutants[name]():
                pass
