"""Serve: what peers ask of us, made into changes, and the node's answers, signed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

import trio

from metering.codec import decode, encode
from metering.refusal import Refusal
from metering.terms import lease_id_of
from metering.units import U64_MAX, Address, Amount, Hash32
from metering.voucher import SignedVoucher
from scheduler.job import Job
from scheduler.policy import answer
from scheduler.quote import SignedQuote
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.node import changes, effects, message
from xnode.node.provider.ending import make_report
from xnode.node.provider.quote import make_policy
from xnode.node.records import ProviderLease, SubmitterJob, SubmitterLease
from xnode.peers.answer import read_request, refuse
from xnode.peers.call import make_news
from xnode.peers.job_log import LogArchive
from xnode.peers.quota import WriteQuota
from xnode.ports.chain import Spender
from xnode.ports.clock import Clock
from xnode.ports.net import RpcRefused
from xnode.ports.runtime import Engine
from xnode.ports.store import Records
from xnode.ports.wallet import Signer
from xnode.progress import Board

ANSWER_NS = 9_000_000_000
"""How long the node may take to answer a peer, a little less than the peer waits."""

LEASE_ANSWER_NS = 15_000_000_000
"""A lease is answered only after the chain was asked."""

LOG_WAIT_S = 600.0
"""How long a log stream waits for the workload to start before the reader must ask again."""

NO_PROGRESS = message.Progress("", 0, 0)

ASK_OF_TWO = b"\x92"
"""How an array of two begins."""


class Funds(Protocol):
    """What a submitter can pay with, as far as the chain said it lately: see xnode.peers.funds."""

    async def look(self, spender: Spender, needed: Amount) -> Amount: ...


class PeerService:
    """Answers peers. Every answer that promises something is durable before it leaves."""

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        signer: Signer,
        engine: Engine | None,
        archive: LogArchive,
        records: Records,
        board: Board | None = None,
        funds: Funds | None = None,
    ) -> None:
        self._loop, self._clock, self._signer = loop, clock, signer
        self._engine, self._archive, self._records, self._board = engine, archive, records, board or Board()
        self._funds, self._quota = funds, WriteQuota()

    def methods(self) -> dict[str, Callable[[Address, bytes], Awaitable[bytes]]]:
        """RPC methods by name."""
        return {
            message.QUOTE_REQUEST: self._on_quote_request,
            message.QUOTE_DROP: self._on_quote_drop,
            message.LEASE_OPEN: self._on_lease_open,
            message.LEASE_ASK: self._on_lease_ask,
            message.LEASE_STOP: self._on_lease_stop,
            message.LEASE_NEWS: self._on_lease_news,
            message.LEASE_PROGRESS: self._on_lease_progress,
            message.RECEIPTS_PUSH: self._on_receipts_push,
        }

    async def _on_quote_request(self, caller: Address, body: bytes) -> bytes:
        job, payer = _read_ask(body)
        if self._quota.is_used_up(payer, self._clock.now_ns()):
            raise refuse(
                "busy", "this payer was given many quotes, and each is kept for a while; ask again in a minute"
            )
        spendable = await self._look_at_funds(caller, payer, job)
        given = await self._ask(lambda to: changes.QuoteRequested(to, caller, job, payer, spendable))
        # Only now: who names a payer that is not its own is refused, and must not use up what others have.
        self._quota.note(payer, len(body), self._clock.now_ns())
        return given

    async def _look_at_funds(self, caller: Address, payer: Address, job: Job) -> Amount | None:
        """What the caller can reserve for such a job; None where nobody looks. Refuses when the chain does not say."""
        provider = self._loop.state.settings.provider
        if self._funds is None or provider is None or job.submitter != caller:
            return None
        body = answer(job, provider.offered_resources(), make_policy(provider), self._clock.now_ns())
        if isinstance(body, Refusal):
            return None  # no money makes this a job for us
        try:
            return await self._funds.look(Spender(payer, caller, provider.asset), body.cost_limit)
        except Retryable as error:
            raise refuse("busy", str(error)) from None
        except Permanent as error:
            raise refuse(error.reason_code, str(error)) from None

    async def _on_quote_drop(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, message.QuoteQuery)
        return await self._ask(lambda to: changes.QuoteDropped(to, caller, query.digest))

    async def _on_lease_open(self, caller: Address, body: bytes) -> bytes:
        offer = read_request(body, message.LeaseOffer)
        addrs = offer.addrs[: message.MAX_ADDRS]
        try:
            return await self._ask(
                lambda to: changes.LeaseRequested(
                    to,
                    caller,
                    addrs,
                    offer.terms,
                    offer.signature,
                    offer.escrow,
                    offer.opening,
                    offer.opening_signature,
                ),
                LEASE_ANSWER_NS,
            )
        except RpcRefused as refused:
            # The same terms get the same answer, also when the lease has begun and ended since.
            lease_id = lease_id_of(self._loop.state.settings.separator, offer.terms)
            lease = await self._find_past(caller, lease_id, refused)
            if lease.refusal is not None:
                raise RpcRefused(encode(lease.refusal)) from None
            return self._signer.sign("LeaseTerms", lease.terms)

    async def _on_lease_ask(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, message.LeaseQuery)
        make = partial(changes.LeaseAsked, caller=caller, lease_id=query.lease_id)
        return await self._report(caller, query.lease_id, make)

    async def _on_lease_stop(self, caller: Address, body: bytes) -> bytes:
        query = read_request(body, message.LeaseQuery)
        make = partial(changes.LeaseStopRequested, caller=caller, lease_id=query.lease_id)
        return await self._report(caller, query.lease_id, make)

    async def _report(self, caller: Address, lease_id: Hash32, make_change: Callable[[str], changes.Change]) -> bytes:
        """How the lease is; of one that has left the state, how it ended."""
        try:
            return await self._ask(make_change)
        except RpcRefused as refused:
            return encode(make_report(await self._find_past(caller, lease_id, refused)))

    async def _find_past(self, caller: Address, lease_id: Hash32, refused: RpcRefused) -> ProviderLease:
        """A lease of the caller's that has left the state. Raises the refusal when there is none."""
        if decode(refused.body, Refusal).code not in ("lease_unknown", "quote_expired"):
            raise refused
        lease = await self._records.read_record(ProviderLease, lease_id)
        if lease is None or lease.terms.submitter != caller:
            raise refused
        return lease

    async def _on_lease_news(self, caller: Address, body: bytes) -> bytes:
        report = read_request(body, effects.LeaseReport)
        return await self._ask(lambda to: make_news(to, caller, report))

    async def _on_lease_progress(self, caller: Address, body: bytes) -> bytes:
        """From memory: what is asked every second is not worth a line in the journal."""
        query = read_request(body, message.LeaseQuery)
        lease = self._loop.state.get(ProviderLease, query.lease_id)
        if lease is None or lease.terms.submitter != caller:
            raise refuse("lease_unknown", f"no lease {query.lease_id.hex()[:16]} of yours here")
        work = self._board.find(query.lease_id.hex())
        if work is None:
            return encode(NO_PROGRESS)
        # The job's own words say how large its inputs are: their sum may be more than there are numbers for.
        return encode(message.Progress(work.what, min(work.done_bytes, U64_MAX), min(work.total_bytes, U64_MAX)))

    async def _on_receipts_push(self, caller: Address, body: bytes) -> bytes:
        queue = read_request(body, message.ReceiptQueue)
        if not 0 < len(queue.receipts) <= message.MAX_RECEIPTS:
            raise refuse("receipts_many", f"{len(queue.receipts)} receipts; 1 to {message.MAX_RECEIPTS} are taken")
        return await self._ask(lambda to: changes.ReceiptsReceived(to, caller, queue.receipts))

    async def _ask(self, make_change: Callable[[str], changes.Change], wait_ns: int = ANSWER_NS) -> bytes:
        try:
            reply = await self._loop.ask(make_change, self._clock.now_ns() + wait_ns)
        except Retryable as error:
            raise refuse("busy", str(error)) from None
        return self._make_answer(reply)

    def _make_answer(self, reply: effects.Reply) -> bytes:
        match reply:
            case effects.ReplyQuote(quote=quote):
                return encode(SignedQuote(quote, self._signer.sign("Quote", quote)))
            case effects.ReplyLease(terms=terms):
                return self._signer.sign("LeaseTerms", terms)
            case effects.ReplyVoucher(voucher=voucher, coverage=coverage, ahead=ahead):
                signed, *more = (SignedVoucher(one, self._signer.sign("Voucher", one)) for one in (voucher, *ahead))
                return encode(message.VoucherAnswer(signed, coverage, tuple(more)))
            case effects.ReplyReport(report=report):
                return encode(report)
            case effects.ReplyOk(value=value):
                return value
            case effects.ReplyRefusal(refusal=refusal):
                raise RpcRefused(encode(refusal))

    # ------------------------------------------------------------------------------------------------------------- logs

    async def follow_logs(self, caller: Address, body: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        """logs.follow: the log of the caller's own lease, from where it stopped reading, to the end."""
        query = read_request(body, message.LogQuery)
        lease = await self._wait_started(caller, query.lease_id)
        offset = query.offset
        if lease is not None and lease.started_at_ns is not None:
            async with aclosing(self._read_log(query.lease_id, query.offset)) as pieces:
                async for offset, piece in pieces:
                    await send(encode(message.LogPiece(offset, piece, ended=False)))
        await send(encode(message.LogPiece(offset, b"", ended=True)))

    async def _read_log(self, lease_id: Hash32, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Live while the workload is on the host, then the rest from the archive: it is there before the workload goes."""
        assert self._engine is not None
        if not self._archive.has(lease_id):
            async with aclosing(self._engine.read_logs(lease_id, offset, follow=True)) as pieces:
                async for after, piece in pieces:
                    offset = after
                    yield after, piece
        if self._archive.has(lease_id):
            async with aclosing(self._engine.read_kept_log(self._archive.path(lease_id), offset)) as pieces:
                async for after, piece in pieces:
                    yield after, piece

    async def _wait_started(self, caller: Address, lease_id: Hash32) -> ProviderLease | None:
        with trio.move_on_after(LOG_WAIT_S):
            while True:
                lease = self._loop.state.get(ProviderLease, lease_id)
                lease = lease or await self._records.read_record(ProviderLease, lease_id)
                if lease is None or lease.terms.submitter != caller:
                    raise refuse("lease_unknown", f"no lease {lease_id.hex()[:16]} of yours here")
                if lease.started_at_ns is not None or lease.status in ("ending", "settling", "settled", "refused"):
                    return lease
                await self._loop.wait_change()
        raise refuse("not_started", "the workload has not started yet; ask again")

    # ------------------------------------------------------------------------------------------------------------ blobs

    def may_read_blob(self, caller: Address, sha256: Hash32) -> bool:
        """True for the inputs and image of a job that the caller holds a lease or is asked for."""
        state = self._loop.state
        for task in state.all(SubmitterLease):
            if task.terms.node == caller:
                job = state.get(SubmitterJob, task.job_hash)
                if job is not None and _is_of_job(job.job, sha256):
                    return True
        return False


def _read_ask(body: bytes) -> tuple[Job, Address]:
    # A job is a map and not an array: neither is ever taken for the other.
    if body[:1] == ASK_OF_TWO:
        asked = read_request(body, message.QuoteAsk)
        return asked.job, asked.payer
    job = read_request(body, Job)
    return job, job.submitter


def _is_of_job(job: Job, sha256: Hash32) -> bool:
    inputs = (file.blob.sha256 for file in job.inputs)
    image = (blob.sha256 for blob in job.image.blobs)
    return any(one == sha256 for one in (*inputs, *image))
