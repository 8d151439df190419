"""How many transactions a key can pay for, as it is told to the core."""

from __future__ import annotations

from xnode.peers.chain_watch import MOST_AFFORDABLE, round_affordable


def test_a_rich_key_pays_for_as_many_leases_as_a_host_serves() -> None:
    told = [round_affordable(one) for one in (0, 7, 99, 100, 199, 12_345, 10**15)]
    assert told == [0, 7, 99, 100, 190, 12_000, MOST_AFFORDABLE]
