"""`xnode provider capacity request` beside a node that has leased: never of less than that."""

from __future__ import annotations

import pytest

from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.cli.stake.capacity import check_leased
from xnode.control.views import Hosting
from xnode.errors import ExitCode, UserError

CLASSES = (
    DeviceClass("cpu", "cpu", 1000, 1024, 1000),
    DeviceClass("gpu", "gpu", 1000, 4096, 1000),
    DeviceClass("slow cpu", "cpu", 500, 1024, 1000),
)


def leased(vcpu_milli: int, gpus: int = 0) -> Hosting:
    return Hosting(vcpu_milli, 1 << 30, 1 << 30, gpus, "")


def test_less_than_is_leased_is_refused_with_both_numbers() -> None:
    with pytest.raises(UserError) as caught:
        check_leased(((0, 8),), CLASSES, leased(15_500))
    assert "16 vCPUs are leased now, and only 8 would be verified" in str(caught.value)
    assert "at least 16" in caught.value.hint and caught.value.code is ExitCode.CONFLICT
    with pytest.raises(UserError, match="2 GPUs are leased now, and only 1 would be verified"):
        check_leased(((0, 8), (1, 1)), CLASSES, leased(8_000, gpus=2))


def test_classes_of_one_kind_count_together_and_a_kind_that_is_not_declared_is_not_asked_about() -> None:
    check_leased(((0, 8), (2, 8)), CLASSES, leased(16_000))
    check_leased(((1, 2),), CLASSES, leased(16_000, gpus=2))
    check_leased(((0, 1),), CLASSES, leased(0))
