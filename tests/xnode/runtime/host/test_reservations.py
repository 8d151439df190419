"""What several daemons of one host must not take twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnode.errors import Permanent, Retryable
from xnode.runtime.host.reservations import UID_RANGE, release_reservations, reserve_devices, reserve_uids

DEVICES = ("nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=2")


def make_holders(tmp_path: Path, count: int) -> list[Path]:
    """Lease folders."""
    holders = [tmp_path / f"lease-{number}" for number in range(count)]
    for holder in holders:
        holder.mkdir()
    return holders


def test_every_lease_has_its_own_user_ids_and_asking_again_gives_the_same(tmp_path: Path) -> None:
    holders = make_holders(tmp_path, 5)
    bases = [reserve_uids(holder, tmp_path) for holder in holders]
    assert len(set(bases)) == 5 and all(abs(a - b) >= UID_RANGE for a in bases for b in bases if a != b)
    assert [reserve_uids(holder, tmp_path) for holder in holders] == bases


def test_released_and_abandoned_claims_are_given_out_again(tmp_path: Path) -> None:
    first, second, third = make_holders(tmp_path, 3)
    base = reserve_uids(first, tmp_path)
    release_reservations(first, tmp_path)
    assert reserve_uids(second, tmp_path) == base
    second.rmdir()
    assert reserve_uids(third, tmp_path) == base


def test_device_is_lent_to_one_lease_only(tmp_path: Path) -> None:
    first, second = make_holders(tmp_path, 2)
    assert reserve_devices(DEVICES, 2, first, tmp_path) == DEVICES[:2]
    with pytest.raises(Retryable, match="only 1 of 2 GPUs"):
        reserve_devices(DEVICES, 2, second, tmp_path)
    assert reserve_devices(DEVICES, 1, second, tmp_path) == DEVICES[2:]
    assert reserve_devices(DEVICES, 2, first, tmp_path) == DEVICES[:2]


def test_more_devices_than_the_node_has_are_refused_for_good(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="this node has 3"):
        reserve_devices(DEVICES, 4, make_holders(tmp_path, 1)[0], tmp_path)


def test_no_other_user_of_the_host_can_hold_up_a_reservation(tmp_path: Path) -> None:
    (holder,) = make_holders(tmp_path, 1)
    claims = tmp_path / "claims"
    claims.mkdir(mode=0o755)
    (claims / ".lock").touch(0o644)
    reserve_uids(holder, tmp_path)
    assert (claims.stat().st_mode & 0o777, (claims / ".lock").stat().st_mode & 0o777) == (0o700, 0o600)
