"""A submitter that looks on learns how far its provider is, and nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import Hash32
from tests.make.scene import FixedClock, make_scene, open_consoles
from tests.make.values import address_of
from xnode.console.console import Console
from xnode.errors import Retryable
from xnode.node import message
from xnode.peers.progress import ProgressReader
from xnode.peers.serve import PeerService
from xnode.ports.net import RpcRefused
from xnode.progress import Board

LEASE = make_scene().lease(make_scene().running)
QUERY = encode(message.LeaseQuery(LEASE.lease_id))


def make_service(provider: Console, board: Board) -> PeerService:
    nothing: Any = None
    return PeerService(provider.loop, provider.clock, nothing, None, nothing, provider.journal, board)


async def test_a_provider_says_what_it_does_for_a_lease_and_how_far_it_is(tmp_path: Path) -> None:
    board = Board()
    async with open_consoles(tmp_path) as (_, provider):
        answer = make_service(provider, board).methods()[message.LEASE_PROGRESS]
        with board.show("image", 749_000_000, LEASE.lease_id.hex()) as work, board.show("image", 5, "another lease"):
            work.reach(312_000_000)
            told = decode_strict(await answer(address_of(0), QUERY), message.Progress)
            assert told == message.Progress("image", 312_000_000, 749_000_000)
        assert decode_strict(await answer(address_of(0), QUERY), message.Progress).what == ""


@pytest.mark.parametrize(("caller", "lease_id"), [(7, LEASE.lease_id), (0, Hash32(bytes(32)))])
async def test_a_stranger_learns_nothing_of_a_lease(tmp_path: Path, caller: int, lease_id: Hash32) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        answer = make_service(provider, Board()).methods()[message.LEASE_PROGRESS]
        with pytest.raises(RpcRefused) as refused:
            await answer(address_of(caller), encode(message.LeaseQuery(lease_id)))
        assert decode_strict(refused.value.body, Refusal).code == "lease_unknown"


class Answering:
    """A net whose peer always answers so."""

    def __init__(self, answer: bytes | Exception) -> None:
        self._answer = answer

    async def call(self, *_args: Any) -> bytes:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (encode(message.Progress("image", 1, 2)), message.Progress("image", 1, 2)),
        (encode(message.Progress("", 0, 0)), None),
        (encode(message.Progress("x" * 200, 1, 2)), message.Progress("x" * 64, 1, 2)),
        (encode(message.Progress("x" * 1000, 1, 2)), None),
        (b"nonsense", None),
        (Retryable("it is away"), None),
        (RpcRefused(encode(Refusal("lease_unknown", "no lease"))), None),
    ],
)
async def test_whatever_a_provider_answers_is_progress_or_nothing(answer: Any, found: message.Progress | None) -> None:
    net: Any = Answering(answer)
    assert await ProgressReader(net, FixedClock(make_scene().now_ns)).ask(LEASE) == found
