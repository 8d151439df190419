"""`xnode provider capacity request`: what it asks before it pays: of leases, of credits, of this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.units import Address, Amount
from xnode.chain.contracts.challenge_rules import CapacitySettings, DeviceClass
from xnode.chain.deployment.manifest import Asset
from xnode.chain.deployment.plan import read_plan
from xnode.chain.provider_record import Credit
from xnode.cli.stake.credits import find_obstacle
from xnode.cli.stake.request import (
    YES_DEFAULT,
    YES_JAIL,
    YES_LEASED,
    Asked,
    Devices,
    ThisHost,
    Wanted,
    check_credits,
    check_devices,
    check_leased,
)
from xnode.cli.stake.request import (
    test_host as try_host,
)
from xnode.cli.stake.self_test import STANDARD
from xnode.control.views import Hosting
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX

EXAMPLE = Path(__file__).resolve().parents[3] / "contracts" / "plan.example.toml"

CLASSES = (
    DeviceClass("cpu", "cpu", 1000, 256, 20_000),
    DeviceClass("gpu", "gpu", 1000, 256, 20_000),
    DeviceClass("slow cpu", "cpu", 500, 256, 20_000),
)
SETTINGS = CapacitySettings(1, 3, 3, 1, 1, 60, 86_400, 10, 3_600, Amount(5), Amount(1))


def make_asked(*wanted: tuple[int, int], cpu: int = 0, gpu: int = 0, in_force: bool = True) -> Asked:
    """cpu, gpu: credits outstanding of each kind; a reference unit serves 24 of them."""
    credits = tuple(
        (kind, Credit(Asset(symbol, 18, Address(bytes(20))), count * OPENX, 0, 0, 0, 0, 24, False, 0))
        for kind, symbol, count in (("cpu", "tCPU", cpu), ("gpu", "tGPU", gpu))
    )
    declared: Wanted = wanted
    return Asked(CLASSES, declared, SETTINGS, credits, in_force)


def make_host(
    vcpu_milli: int = 0, gpus: int = 0, has: Devices = Devices(16, 2), offers: Devices | None = None
) -> ThisHost:
    return ThisHost(has, offers or has, Hosting(vcpu_milli, 1 << 30, 1 << 30, gpus, ""))


def test_less_than_is_leased_is_refused_with_both_numbers() -> None:
    with pytest.raises(UserError) as caught:
        check_leased(make_asked((0, 8)), make_host(15_500))
    assert "leases have 16 vCPUs now, and only 8 would be verified" in str(caught.value)
    assert "at least 16" in caught.value.hint and YES_LEASED in caught.value.hint
    assert caught.value.code is ExitCode.CONFLICT
    with pytest.raises(UserError, match="leases have 2 GPUs now, and only 1 would be verified"):
        check_leased(make_asked((0, 8), (1, 1)), make_host(8_000, gpus=2))


def test_a_kind_that_is_left_out_is_a_kind_of_which_nothing_would_be_verified() -> None:
    with pytest.raises(UserError, match="leases have 2 vCPUs now, and only 0 would be verified"):
        check_leased(make_asked((1, 1)), make_host(1_500))
    with pytest.raises(UserError, match="leases have 1 GPU now, and only 0 would be verified"):
        check_leased(make_asked((0, 8)), make_host(8_000, gpus=1))


def test_classes_of_one_kind_count_together() -> None:
    check_leased(make_asked((0, 8), (2, 8)), make_host(16_000))
    check_leased(make_asked((0, 1)), make_host())


def test_leases_that_nobody_names_may_be_there_while_something_is_verified() -> None:
    for unknown in (None, ThisHost(Devices(16, 2), Devices(16, 2), None)):
        with pytest.raises(UserError, match="what is leased now is not known"):
            check_leased(make_asked((0, 8)), unknown)
        check_leased(make_asked((0, 8), in_force=False), unknown)


def test_credits_that_could_not_be_served_any_more_are_named_before_they_default() -> None:
    check_credits(make_asked((0, 2), cpu=48))
    check_credits(make_asked((0, 1), (2, 2), cpu=48))
    with pytest.raises(UserError) as caught:
        check_credits(make_asked((0, 1), cpu=48))
    assert "48 tCPU are outstanding, and this could serve 24 tCPU" in str(caught.value)
    assert YES_DEFAULT in caught.value.hint and caught.value.code is ExitCode.CONFLICT
    with pytest.raises(UserError, match="1 tCPU are outstanding, and this could serve 0 tCPU"):
        check_credits(make_asked((1, 1), cpu=1, gpu=24))
    with pytest.raises(UserError, match="25 tGPU are outstanding"):
        check_credits(make_asked((0, 2), (1, 1), cpu=1, gpu=25))


def test_devices_that_are_not_there_or_not_offered_are_not_declared_by_mistake() -> None:
    check_devices(make_asked((0, 16), (1, 2)), make_host())
    none = make_host(has=Devices(16, 0))
    with pytest.raises(UserError) as caught:
        check_devices(make_asked((1, 1)), none)
    assert "1 GPU declared, and this host has no GPU" in str(caught.value) and YES_JAIL in caught.value.hint
    with pytest.raises(UserError, match="17 vCPUs declared, and this host has 16 vCPUs"):
        check_devices(make_asked((0, 9), (2, 8)), make_host())
    with pytest.raises(UserError, match="16 vCPUs declared, and this host offers 12 vCPUs"):
        check_devices(make_asked((0, 16)), make_host(offers=Devices(12, 2)))
    with pytest.raises(UserError, match="not the home of the wallet's provider"):
        check_devices(make_asked((0, 1)), None)


def test_a_host_that_would_fail_is_told_so_and_pays_nothing() -> None:
    try_host(make_asked((0, 1)))
    with pytest.raises(UserError) as caught:
        try_host(make_asked((0, 1), (1, 1)))
    assert "nothing was paid: device 1 (gpu): " in str(caught.value) and YES_JAIL in caught.value.hint


def test_a_self_test_without_a_chain_is_of_the_class_that_a_network_begins_with() -> None:
    (example,) = (one for one in read_plan(EXAMPLE).classes if one.kind == "cpu")
    assert example in STANDARD


def test_what_is_in_doubt_is_not_called_unverified() -> None:
    (_, credit), _ = make_asked(cpu=1).credits
    doubted, unverified = find_obstacle(credit, OPENX, 0, 2_000_000_000), find_obstacle(credit, OPENX, 0)
    assert doubted is not None and doubted.what.startswith("verified capacity is in doubt until 2033-05-18")
    assert unverified is not None and unverified.what == "no verified capacity is in force"
