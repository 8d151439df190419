"""What a peer asks of a lease that has left the state is answered from the store, as it was before; of nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.units import Address, Hash32
from tests.make.scene import make_scene, open_consoles
from tests.make.values import address_of
from xnode.console.console import Console
from xnode.node import effects, message
from xnode.node.leaving import put_away
from xnode.node.records import ProviderLease
from xnode.node.state import Turn
from xnode.peers.job_log import LogArchive
from xnode.peers.serve import PeerService
from xnode.ports.net import RpcRefused

LEASE_ID = make_scene().lease(make_scene().paid).lease_id
SUBMITTER, STRANGER = address_of(0), address_of(7)


class Engine:
    """xnode.ports.Engine as far as a kept log needs it."""

    async def read_kept_log(self, path: Path, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        data = path.read_bytes()[offset:]  # noqa: ASYNC240 (a few bytes)
        yield offset + len(data), data


@asynccontextmanager
async def open_service(folder: Path) -> AsyncIterator[tuple[Console, PeerService]]:
    """A provider whose leases that are over have all left the state."""
    async with open_consoles(folder) as (_, provider):
        turn = Turn(provider.loop.state, make_scene().now_ns, bytes(32))
        for lease in tuple(turn.state.all(ProviderLease)):
            if lease.status == "settled":
                put_away(turn, lease)
        provider.loop.state = turn.state
        archive = LogArchive(folder / "archive")
        archive.path(LEASE_ID).write_bytes(b"line\n")
        signer, engine = provider.evidence.signer, Engine()
        service: Any = PeerService(provider.loop, provider.clock, signer, engine, archive, provider.journal)  # type: ignore[arg-type]
        assert provider.loop.state.get(ProviderLease, LEASE_ID) is None
        yield provider, service


async def refused(service: PeerService, method: str, caller: Address, body: bytes) -> str:
    with pytest.raises(RpcRefused) as caught:
        await service.methods()[method](caller, body)
    return decode_strict(caught.value.body, Refusal).code


@pytest.mark.parametrize("method", [message.LEASE_ASK, message.LEASE_STOP])
async def test_its_submitter_still_hears_how_it_ended(method: str, tmp_path: Path) -> None:
    query = encode(message.LeaseQuery(LEASE_ID))
    async with open_service(tmp_path) as (_, service):
        report = decode_strict(await service.methods()[method](SUBMITTER, query), effects.LeaseReport)
        assert (report.lease_id, report.status, report.end_reason) == (LEASE_ID, "settled", "completed")
        assert report.left is not None and report.left.entries
        assert await refused(service, method, STRANGER, query) == "lease_unknown"
        assert (
            await refused(service, method, SUBMITTER, encode(message.LeaseQuery(Hash32(bytes(32))))) == "lease_unknown"
        )


async def test_the_same_terms_get_the_same_answer(tmp_path: Path) -> None:
    async with open_service(tmp_path) as (provider, service):
        lease = await provider.journal.read_record(ProviderLease, LEASE_ID)
        assert lease is not None
        offer = encode(
            message.LeaseOffer(
                lease.terms, lease.terms_signature, lease.escrow, lease.opening, lease.opening_signature, ()
            )
        )
        answer = await service.methods()[message.LEASE_OPEN](SUBMITTER, offer)
        assert is_signed_by(lease.terms.node, LEASE_ID, answer)
        assert await refused(service, message.LEASE_OPEN, STRANGER, offer) == "quote_expired"


async def test_its_log_is_still_given_to_its_submitter(tmp_path: Path) -> None:
    pieces: list[message.LogPiece] = []

    async def send(frame: bytes) -> None:
        pieces.append(decode_strict(frame, message.LogPiece))

    async with open_service(tmp_path) as (_, service):
        await service.follow_logs(SUBMITTER, encode(message.LogQuery(LEASE_ID, 0)), send)
        with pytest.raises(RpcRefused):
            await service.follow_logs(STRANGER, encode(message.LogQuery(LEASE_ID, 0)), send)
    assert [(one.data, one.ended) for one in pieces] == [(b"line\n", False), (b"", True)]
