"""The submitter's effects: search, quotes, leases, outputs, and getting money back."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from metering.codec import encode
from metering.signature import SIGNATURE_BYTES
from metering.units import ZERO
from scheduler.outputs import NOTHING
from scheduler.quote import SignedQuote
from xnode.effects.actions import Actions
from xnode.errors import Permanent, Retryable, Unreachable
from xnode.node import changes, effects, message
from xnode.peers.call import call, make_news, read_answer
from xnode.peers.compensation_watch import make_seen
from xnode.peers.search import OfferSearch
from xnode.ports.chain import Chain, Spender
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer
from xnode.ports.store import Outputs
from xnode.ports.wallet import Signer
from xnode.text.hex import to_hex

NO_LIMIT = 1 << 63
"""Of outputs that a version up to 0.2 checked before it asked for them."""

performs: Actions[SubmitterEffects] = Actions()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SubmitterEffects:
    """Everything a submitter does to the world. One method per effect; each gives the change that reports it."""

    outputs: Outputs
    net: Net
    chain: Chain
    signer: Signer
    offers: OfferSearch
    clock: Clock

    @performs(effects.SearchOffers)
    async def search(self, effect: effects.SearchOffers) -> changes.Change:
        """The offers that fit, best first, and why the others do not."""
        found = await self.offers.search(effect.job, effect.tried)
        candidates = tuple(one.to_record() for one in found.ranked)
        shortfalls = tuple((one.code, one.count, one.nearest) for one in found.shortfalls)
        return changes.OffersRanked(
            effect.job_hash,
            found.seen,
            candidates,
            shortfalls,
            unread=found.unread,
            busy=found.busy,
            waiting=found.waiting,
            may_grow=found.may_grow,
        )

    @performs(effects.RequestQuote)
    async def request_quote(self, effect: effects.RequestQuote) -> changes.Change:
        """One provider's answer."""
        peer = Peer(effect.node, effect.multiaddrs)
        try:
            asked = encode(message.QuoteAsk(effect.job, effect.payer))
            body = await call(self.net, self.clock, peer, message.QUOTE_REQUEST, asked)
        except Unreachable as error:
            # The others' answers are worth more than another try at this one.
            self.offers.note_silence(effect.node)
            raise Permanent(str(error), code="unreachable") from error
        except Retryable:
            self.offers.note_silence(effect.node)
            raise
        signed = read_answer(body, SignedQuote)
        if signed.quote.node != effect.node:
            raise Permanent("the quote is another node's", code="quote_wrong_node")
        return changes.QuoteReceived(effect.job_hash, effect.node, signed)

    @performs(effects.DropQuote)
    async def drop_quote(self, effect: effects.DropQuote) -> changes.Change:
        """Free the capacity of a quote that was not taken."""
        query = encode(message.QuoteQuery(effect.digest))
        await call(self.net, self.clock, Peer(effect.node, effect.multiaddrs), message.QUOTE_DROP, query)
        return changes.EffectDone()

    @performs(effects.ReadFunds)
    async def read_funds(self, effect: effects.ReadFunds) -> changes.Change:
        """What the payer's pooled balance lets us reserve."""
        spender = Spender(effect.payer, self.signer.address, effect.asset)
        (spendable,) = await self.chain.spendables_of([spender])
        return changes.FundsRead(effect.job_hash, spendable, spendable)

    @performs(effects.RequestLease)
    async def request_lease(self, effect: effects.RequestLease) -> changes.Change:
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
        if len(signature) != SIGNATURE_BYTES:
            raise Permanent("the peer's answer is no signature", code="malformed_answer")
        return changes.LeaseAccepted(effect.lease_id, signature)

    @performs(effects.AskLease)
    async def ask_lease(self, effect: effects.AskLease) -> changes.Change:
        """How the lease is, from its provider."""
        method = message.LEASE_STOP if effect.stop else message.LEASE_ASK
        query = encode(message.LeaseQuery(effect.lease_id))
        body = await call(self.net, self.clock, Peer(effect.node, effect.multiaddrs), method, query)
        return make_news("", effect.node, read_answer(body, effects.LeaseReport))

    @performs(effects.FetchOutputs)
    async def fetch_outputs(self, effect: effects.FetchOutputs) -> changes.Change:
        """All that is to be had of them, each file checked by its hash, and put where the job wants it."""
        peer, left = Peer(effect.node, effect.multiaddrs), effect.left or NOTHING
        here = await self.outputs.take(
            peer, effect.lease_id, left, effect.limit_bytes or NO_LIMIT, effect.only, effect.outputs
        )
        if effect.into:
            here = await self.outputs.deliver(here, effect.only, effect.into, effect.other)
        return changes.OutputsFetched(effect.lease_id, here)

    @performs(effects.StartThaw)
    async def start_thaw(self, effect: effects.StartThaw) -> changes.Change:
        """The thaw has begun when this returns; one that never was opened needs none."""
        state = await self.chain.escrow_state(effect.escrow_id)
        if state.deposited == state.claimed and not state.thaw_end:
            return changes.EscrowClosed(effect.escrow_id)
        if not state.thaw_end:
            sent = await self.chain.start_thaw(effect.id, effect.escrow)
            if not sent.ok:
                raise Permanent("the thaw could not be started on chain", code="thaw_reverted")
            state = await self.chain.escrow_state(effect.escrow_id)
        return changes.ThawStarted(effect.escrow_id, state.thaw_end)

    @performs(effects.CloseEscrow)
    async def close_escrow(self, effect: effects.CloseEscrow) -> changes.Change:
        """The rest is in the payer's free balance when this returns."""
        state = await self.chain.escrow_state(effect.escrow_id)
        if state.deposited > state.claimed:
            sent = await self.chain.close_escrow(effect.id, effect.escrow)
            if not sent.ok:
                raise Permanent("the escrow could not be closed on chain", code="close_reverted")
        return changes.EscrowClosed(effect.escrow_id)

    @performs(effects.CollectCompensation)
    async def collect_compensation(self, effect: effects.CollectCompensation) -> changes.Change:
        """Paid, as far as it could be, when this returns. What somebody else collected needs no transaction."""
        (short,) = await self.chain.shortfalls_of((effect.lease_id,))
        if short is None or short.payable_until != effect.payable_until_s:
            return make_seen(effect.lease_id, short)
        sent = await self.chain.collect_shortfall(effect.id, effect.lease_id)
        if not sent.ok:
            raise Permanent("the collection of a compensation reverted on chain", code="collect_reverted")
        (after,) = await self.chain.shortfalls_of((effect.lease_id,))
        log.info("compensation collected", tx=to_hex(sent.tx_hash), gas=sent.gas_used)
        left = after.amount if after is not None and after.payable_until == effect.payable_until_s else ZERO
        return changes.CompensationCollected(effect.lease_id, effect.payable_until_s, left, sent.tx_hash, sent.gas_used)
