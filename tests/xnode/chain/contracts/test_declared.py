"""Every call, view and event that we name is in the committed ABI, and something uses it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import xnode
from xnode.chain.abi.artifacts import AbiField, load_abi
from xnode.chain.abi.codec import Call, Event, View, name_field
from xnode.chain.contracts import (
    breach_prover,
    capacity_registry,
    challenge_rules,
    compute_credit,
    events,
    fault_prover,
    openx_token,
    over_capacity,
    payment_escrow,
    provider_registry,
    timelock,
    verifier_registry,
)

MODULES = (
    openx_token,
    provider_registry,
    verifier_registry,
    challenge_rules,
    capacity_registry,
    compute_credit,
    payment_escrow,
    breach_prover,
    fault_prover,
    over_capacity,
    timelock,
    events,
)
ROOT = Path(xnode.__file__).parents[1]
RENAMED = {"from": "since"}
"""What Python cannot call as Solidity does."""


def declared(kind: type[Any]) -> list[Any]:
    """All of a kind, exactly: a View is a Call too."""
    return [value for module in MODULES for value in vars(module).values() if type(value) is kind]


CALLS, VIEWS = declared(Call), declared(View)
EVENTS = [*declared(Event), *events.EVENTS]


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_every_call_is_a_function_that_changes_something(call: Call) -> None:
    assert len(call.selector) == 4 and not call.entry.is_view


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_every_view_is_a_function_that_only_reads(view: View[Any]) -> None:
    assert view.entry.is_view and view.entry.outputs


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_views_struct_has_the_outputs_in_order(view: View[Any]) -> None:
    outputs = view.entry.outputs
    if isinstance(view.result, type) and issubclass(view.result, msgspec.Struct):
        assert_same_names(view.result.__struct_fields__, outputs[0].components or outputs)
    else:
        assert len(outputs) == 1


def assert_same_names(ours: tuple[str, ...], theirs: tuple[AbiField, ...]) -> None:
    """Ours may add a unit: drawDelay is draw_delay_blocks."""
    named = [RENAMED.get(one.name) or name_field(one.name) for one in theirs]
    assert len(ours) == len(named)
    for field, name in zip(ours, named, strict=True):
        assert field == name or field.startswith(f"{name}_"), f"{field} stands where the contract has {name}"


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_an_events_struct_has_its_fields(event: Event[Any]) -> None:
    assert set(event.kind.__struct_fields__) == {name_field(field.name) for field in event.entry.inputs}
    assert len(event.topic) == 32


@pytest.mark.parametrize("contract", ["PaymentEscrow", "Timelock"])
def test_a_name_that_the_contract_lacks_is_an_error(contract: str) -> None:
    assert load_abi(contract)
    with pytest.raises(LookupError, match=f"{contract} has no function frree"):
        Call(contract, "frree").encode()


def constants_of(module: ModuleType) -> list[str]:
    assert module.__file__
    found = []
    for node in ast.parse(Path(module.__file__).read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in found if name.isupper()]


def test_every_constant_is_used_outside_the_tests() -> None:
    sources = [*(ROOT / "xnode").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    unused = []
    for module in MODULES:
        assert module.__file__
        name, own = module.__name__.rpartition(".")[2], Path(module.__file__).read_text()
        for constant in constants_of(module):
            imported = re.search(rf"^from {re.escape(module.__name__)} import [^\n]*\b{constant}\b", text, re.M)
            here = len(re.findall(rf"\b{constant}\b", own)) > 1
            if not (here or imported or re.search(rf"\b{name}\.{constant}\b", text)):
                unused.append(f"{name}.{constant}")
    assert unused == []
