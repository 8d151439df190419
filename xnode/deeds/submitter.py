"""The submitter's deeds: search, quotes, leases, outputs, and getting money back."""

from __future__ import annotations

from dataclasses import dataclass

from metering.codec import encode
from metering.units import Hash32
from scheduler.quote import SignedQuote
from xnode.deeds.market import Market
from xnode.deeds.provider import call, read_answer
from xnode.errors import Permanent
from xnode.node import change as facts
from xnode.node import effect as deeds
from xnode.node import message
from xnode.ports import Blobs, Chain, Clock, Net, Peer, Signer


@dataclass(frozen=True, slots=True)
class SubmitterDeeds:
    """Everything a submitter does to the world. One method for each effect; each gives the change that tells of it."""

    blobs: Blobs
    net: Net
    chain: Chain
    signer: Signer
    market: Market
    clock: Clock

    async def search(self, effect: deeds.SearchOffers) -> facts.Change:
        """The offers that fit, best first, and why the others do not."""
        found = await self.market.search(effect.job, effect.tried)
        return facts.OffersRanked(effect.job_hash, found.seen, found.candidates, found.shortfalls)

    async def request_quote(self, effect: deeds.RequestQuote) -> facts.Change:
        """One provider's answer."""
        peer = Peer(effect.node, effect.multiaddrs)
        body = await call(self.net, self.clock, peer, message.QUOTE_REQUEST, encode(effect.job))
        signed = read_answer(body, SignedQuote)
        if signed.quote.node != effect.node:
            raise Permanent("the quote is another node's", code="quote_wrong_node")
        return facts.QuoteReceived(effect.job_hash, effect.node, signed)

    async def drop_quote(self, effect: deeds.DropQuote) -> facts.Change:
        """Free the capacity of a quote that was not taken."""
        query = encode(message.QuoteQuery(effect.digest))
        await call(self.net, self.clock, Peer(effect.node, effect.multiaddrs), message.QUOTE_DROP, query)
        return facts.DeedDone()

    async def read_funds(self, effect: deeds.ReadFunds) -> facts.Change:
        """What the payer's pooled balance lets us reserve."""
        free = await self.chain.free_balance(effect.payer, effect.asset)
        if effect.payer == self.signer.address:
            return facts.FundsRead(effect.job_hash, free, free)
        cap = await self.chain.opener_cap(effect.payer, self.signer.address, effect.asset)
        return facts.FundsRead(effect.job_hash, free, cap)

    async def request_lease(self, effect: deeds.RequestLease) -> facts.Change:
        """Sign terms and opening (they are durable by now) and bring back the provider's signature."""
        opening_signature = self.signer.sign("Opening", effect.opening) if effect.opening else b""
        offer = message.LeaseOffer(
            effect.terms,
            self.signer.sign("LeaseTerms", effect.terms),
            effect.escrow,
            effect.opening,
            opening_signature,
            self.net.multiaddrs()[: message.MAX_ADDRS],
        )
        peer = Peer(effect.terms.node, effect.multiaddrs)
        signature = await call(self.net, self.clock, peer, message.LEASE_OPEN, encode(offer))
        return facts.LeaseAccepted(effect.lease_id, signature)

    async def ask_lease(self, effect: deeds.AskLease) -> facts.Change:
        """How the lease is, from its provider."""
        method = message.LEASE_STOP if effect.stop else message.LEASE_ASK
        query = encode(message.LeaseQuery(effect.lease_id))
        body = await call(self.net, self.clock, Peer(effect.node, effect.multiaddrs), method, query)
        return make_news("", effect.node, read_answer(body, deeds.Standing))

    async def fetch_outputs(self, effect: deeds.FetchOutputs) -> facts.Change:
        """All outputs, each checked by its hash."""
        peer = Peer(effect.node, effect.multiaddrs)
        for output in effect.outputs:
            await self.blobs.fetch(peer, output.blob, lambda _bytes: None)
        return facts.OutputsFetched(effect.lease_id)

    async def start_thaw(self, effect: deeds.StartThaw) -> facts.Change:
        """The thaw has begun when this returns; one that never was opened needs none."""
        state = await self.chain.escrow_state(effect.escrow_id)
        if state.deposited == state.claimed and not state.thaw_end:
            return facts.EscrowClosed(effect.escrow_id)
        if not state.thaw_end:
            sent = await self.chain.start_thaw(effect.id, effect.escrow)
            if not sent.ok:
                raise Permanent("the thaw could not be started on chain", code="thaw_reverted")
            state = await self.chain.escrow_state(effect.escrow_id)
        return facts.ThawStarted(effect.escrow_id, state.thaw_end)

    async def close_escrow(self, effect: deeds.CloseEscrow) -> facts.Change:
        """The rest is in the payer's free balance when this returns."""
        state = await self.chain.escrow_state(effect.escrow_id)
        if state.deposited > state.claimed:
            sent = await self.chain.close_escrow(effect.id, effect.escrow)
            if not sent.ok:
                raise Permanent("the escrow could not be closed on chain", code="close_reverted")
        return facts.EscrowClosed(effect.escrow_id)


def make_news(reply_to: str, caller: bytes, standing: deeds.Standing) -> facts.LeaseNews:
    """What a provider says of a lease, as a change."""
    return facts.LeaseNews(
        reply_to,
        caller,  # type: ignore[arg-type]
        Hash32(standing.lease_id),
        standing.status,
        standing.end_reason,
        standing.end_detail,
        standing.exit_code,
        standing.outputs,
    )
