"""What a provider declares for a challenge, held against what its leases use."""

from __future__ import annotations

import pytest

from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.cli.stake.capacity import refuse_below_leased
from xnode.errors import ExitCode, UserError

CLASSES = (
    DeviceClass("cpu", "cpu", 1000, 1024, 20_000),
    DeviceClass("gpu", "gpu", 1000, 4096, 20_000),
    DeviceClass("cpu-2", "cpu", 1500, 1024, 20_000),
)


def test_fewer_devices_of_a_kind_than_are_leased_are_not_declared() -> None:
    with pytest.raises(UserError, match="8 vCPUs would be verified, 16 are leased") as caught:
        refuse_below_leased(((0, 8),), CLASSES, {"cpu": 16, "gpu": 0})
    assert caught.value.code is ExitCode.CONFLICT and "at least 16" in caught.value.hint
    with pytest.raises(UserError, match="1 GPUs would be verified, 2 are leased"):
        refuse_below_leased(((0, 16), (1, 1)), CLASSES, {"cpu": 16, "gpu": 2})


def test_classes_of_a_kind_count_together_and_a_kind_that_is_not_declared_is_left_alone() -> None:
    refuse_below_leased(((0, 8), (2, 8)), CLASSES, {"cpu": 16, "gpu": 2})
    refuse_below_leased(((0, 1),), CLASSES, {})
