"""What a plan may set on which kind of chain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metering.units import Amount
from tests.make.values import address_of
from xnode.chain.deployment.chains import CHAINS, DAY_S, DEVNET, OPENING_MOST_S, find_chain_of
from xnode.chain.deployment.devnet import make_devnet_plan
from xnode.chain.deployment.plan import Plan, read_plan
from xnode.chain.deployment.safety import MOST_VERIFIERS, find_unsafe, least_escrow_thaw_s
from xnode.text.amount import OPENX_DECIMALS, parse_amount

EXAMPLE = Path(__file__).parents[4] / "contracts" / "plan.example.toml"
PUBLIC = tuple(name for name, chain in CHAINS.items() if name != DEVNET and chain.draw_delay_s is not None)
MOST_DRAW_DELAY = re.compile(r"MAX_DRAW_DELAY = ([\d_]+);")


def make_plan(chain: str = "ethereum", **changes: Any) -> Plan:
    """The example's, with all that its chain asks for."""
    kind = CHAINS[chain]
    block_ms = kind.block_ms or 200
    number_ms = kind.number_ms or block_ms
    plan = read_plan(EXAMPLE)
    values: dict[str, Any] = {
        "chain": chain,
        "block_ms": block_ms,
        "number_ms": number_ms,
        "confirmations": -(-kind.settle_s * 1000 // block_ms),
        "escrow_min_thaw_s": least_escrow_thaw_s(chain),
        "governance": msgspec.structs.replace(plan.governance, delay_s=2 * DAY_S),
        "capacity": msgspec.structs.replace(
            plan.capacity, draw_delay_blocks=-(-(kind.draw_delay_s or 0) * 1000 // number_ms)
        ),
    }
    return msgspec.structs.replace(plan, **(values | changes))


@pytest.mark.parametrize("chain", PUBLIC)
def test_a_plan_can_be_safe_on_every_kind_of_chain(chain: str) -> None:
    assert list(find_unsafe(make_plan(chain))) == []


@pytest.mark.parametrize("chain", PUBLIC)
def test_each_wait_that_is_a_second_too_short_is_named(chain: str) -> None:
    plan = make_plan(chain)
    govern, capacity = plan.governance, plan.capacity
    shorter: dict[str, dict[str, Any]] = {
        "escrow_min_thaw_s": {"escrow_min_thaw_s": plan.escrow_min_thaw_s - 1},
        "governance.delay_s": {
            "governance": msgspec.structs.replace(govern, delay_s=least_escrow_thaw_s(chain) - 1),
        },
        "stake_thaw_s": {"stake_thaw_s": 7 * DAY_S - 1},
        "capacity.leave_delay_s": {
            "capacity": msgspec.structs.replace(capacity, leave_delay_s=capacity.validity_s + plan.stake_thaw_s - 1),
        },
        "confirmation_s": {"confirmations": plan.confirmations - 1},
        "capacity.panel_size": {"capacity": msgspec.structs.replace(capacity, panel_size=4, quorum=3)},
    }
    for setting, changes in shorter.items():
        found = list(find_unsafe(make_plan(chain, **changes)))
        assert [unsafe.setting for unsafe in found] == [setting]
        assert found[0].reason and found[0].hint.startswith("set at least ")


@pytest.mark.parametrize("chain", ["ethereum", "op-stack"])
def test_a_panel_is_drawn_by_a_number_that_no_one_knows_at_the_request(chain: str) -> None:
    plan = make_plan(chain)
    sooner = msgspec.structs.replace(plan.capacity, draw_delay_blocks=plan.capacity.draw_delay_blocks - 1)
    (unsafe,) = find_unsafe(make_plan(chain, capacity=sooner))
    assert unsafe.setting == "capacity.draw_delay_s" and "panel" in unsafe.reason


@pytest.mark.parametrize("chain", ["bnb", "arbitrum"])
def test_no_panel_is_drawn_where_prevrandao_is_no_random_number(chain: str) -> None:
    (unsafe,) = find_unsafe(make_plan(chain))
    assert unsafe.setting == "chain" and "prevrandao" in unsafe.reason


@pytest.mark.parametrize(("chain", "draws"), [("ethereum", 8), ("op-stack", 2)])
def test_a_panel_that_lies_costs_a_hundred_times_what_it_brings_on_the_plans_kind_of_chain(
    chain: str, draws: int
) -> None:
    plan = make_plan(chain)
    assert CHAINS[chain].draws == draws
    cheap = msgspec.structs.replace(plan.capacity, device_fee=Amount(plan.capacity.device_fee * draws // 40))
    (unsafe,) = find_unsafe(make_plan(chain, capacity=cheap))
    assert unsafe.setting == "capacity.device_fee" and "should cost 100" in unsafe.reason
    needed = re.search(r"at least ([\d.]+)", unsafe.hint)
    assert needed
    enough = msgspec.structs.replace(cheap, device_fee=parse_amount(needed[1], OPENX_DECIMALS))
    assert list(find_unsafe(make_plan(chain, capacity=enough))) == []


@pytest.mark.parametrize("chain", PUBLIC)
def test_a_heavier_class_needs_a_higher_fee(chain: str) -> None:
    plan = make_plan(chain)
    heavy = tuple(msgspec.structs.replace(one, weight_milli=8_000) for one in plan.classes)
    (unsafe,) = find_unsafe(make_plan(chain, classes=heavy))
    assert unsafe.setting == "capacity.device_fee"


@pytest.mark.parametrize("chain", PUBLIC)
def test_a_lower_quorum_needs_a_higher_fee(chain: str) -> None:
    plan = make_plan(chain)
    (unsafe,) = find_unsafe(make_plan(chain, capacity=msgspec.structs.replace(plan.capacity, quorum=23)))
    assert unsafe.setting == "capacity.device_fee" and unsafe.hint.endswith("or a higher quorum")


@pytest.mark.parametrize("window", [0, 1])
def test_what_the_contracts_refuse_is_not_priced(window: int) -> None:
    plan = make_plan()
    credits = msgspec.structs.replace(plan.credits, window_hours=window)
    capacity = msgspec.structs.replace(plan.capacity, quorum=0 if window else plan.capacity.quorum)
    assert list(find_unsafe(make_plan(credits=credits, capacity=capacity))) == []


def test_lists_are_as_long_as_the_contract_lets_them_be() -> None:
    source = (EXAMPLE.parent / "src" / "capacity" / "VerifierList.sol").read_text()
    assert f"MAX_SLOTS = {MOST_VERIFIERS};" in source


@pytest.mark.parametrize("chain", PUBLIC)
def test_the_contracts_take_the_delay_that_is_safe(chain: str) -> None:
    source = (EXAMPLE.parent / "src" / "capacity" / "VerifierList.sol").read_text()
    found = MOST_DRAW_DELAY.search(source)
    assert found
    assert make_plan(chain).capacity.draw_delay_blocks <= int(found[1])


@pytest.mark.parametrize("chain", PUBLIC)
def test_openings_count_before_a_provider_stops(chain: str) -> None:
    plan = make_plan(chain)
    late = (int(OPENING_MOST_S) + 1) * 1000 // plan.block_ms
    (unsafe,) = find_unsafe(make_plan(chain, confirmations=late))
    assert unsafe.setting == "confirmation_s" and "too long" in unsafe.reason


def test_a_claim_that_a_sequencer_keeps_out_is_in_before_the_thaw_ends() -> None:
    assert least_escrow_thaw_s("ethereum") == DAY_S
    assert least_escrow_thaw_s("op-stack") == DAY_S + 12 * 3600
    assert least_escrow_thaw_s("arbitrum") == 2 * DAY_S


def test_a_devnet_may_be_as_quick_as_it_likes() -> None:
    assert list(find_unsafe(make_devnet_plan(address_of(1)))) == []


def test_chains_are_known_by_their_numbers() -> None:
    known = {1: "ethereum", 8453: "op-stack", 10: "op-stack", 56: "bnb", 42161: "arbitrum", 31337: DEVNET, 4242: None}
    assert {number: find_chain_of(number) for number in known} == known
    numbers = [number for chain in CHAINS.values() for number in chain.ids]
    assert len(numbers) == len(set(numbers))
