"""Refused: a job that is turned away is counted by reason, and a question that brings no job is not."""

from __future__ import annotations

from collections import Counter

import pytest

from metering.units import Address
from tests.make.values import address_of
from xnode.capacity.message import ANSWER
from xnode.node.message import LEASE_NEWS, LEASE_OPEN, QUOTE_REQUEST, RECEIPTS_PUSH
from xnode.peers.answer import refuse
from xnode.peers.refused import count_refused
from xnode.ports.net import RpcRefused


async def test_only_who_wants_work_done_is_turned_away() -> None:
    async def no(_caller: Address, _body: bytes) -> bytes:
        raise refuse("no_room", "nothing is free")

    refusals = Counter[str]()
    for method in (QUOTE_REQUEST, LEASE_OPEN, LEASE_NEWS, RECEIPTS_PUSH, ANSWER):
        with pytest.raises(RpcRefused):
            await count_refused(refusals, method, no)(address_of(1), b"")
    assert refusals == {"no_room": 2}


async def test_what_is_answered_is_no_refusal() -> None:
    async def yes(_caller: Address, body: bytes) -> bytes:
        return body

    refusals = Counter[str]()
    assert await count_refused(refusals, QUOTE_REQUEST, yes)(address_of(1), b"asked") == b"asked"
    assert not refusals
