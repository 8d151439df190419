"""The provider's effects: containers, receipts, claims."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from metering.codec import encode
from metering.receipt import SignedReceipt
from metering.units import NANOS_PER_SECOND, Hash32
from scheduler.job import Blob, Job, input_bytes_of
from scheduler.offer import SignedOffer
from scheduler.outputs import encode_inventory, show_path
from scheduler.policy import DRAINING
from xnode.effects.actions import Actions
from xnode.effects.patience import PATIENCE_NS, Patience
from xnode.errors import Permanent, Retryable
from xnode.node import changes, effects, message
from xnode.node.blame import IMAGE_CODES, JOBS_OWN
from xnode.peers.call import call, read_answer
from xnode.peers.job_log import LogArchive
from xnode.peers.publish import OfferPublisher
from xnode.peers.silence_watch import make_seen
from xnode.ports.chain import Chain, ClaimRow, Spender
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer
from xnode.ports.runtime import Engine, ImageStore, WorkloadSpec
from xnode.ports.store import Blobs
from xnode.ports.wallet import Signer
from xnode.progress import Board
from xnode.text.hex import to_hex

log = structlog.get_logger()

performs: Actions[ProviderEffects] = Actions()


@contextmanager
def telling(otherwise: str) -> Iterator[None]:
    """What a fault says to the submitter is what may be told of it, else `otherwise`. What programs of this host said, and
    which places they named, stays in the log."""
    try:
        yield
    except Permanent as error:
        # What is wrong with a job in itself is in words of ours already.
        told = error.told or (str(error) if error.reason_code == "job" else otherwise)
        if str(error) != told:
            log.warning("a job cannot be served", reason=str(error), code=error.reason_code, told=told)
        raise Permanent(told, code=error.reason_code) from error


@dataclass(frozen=True, slots=True)
class ProviderEffects:
    """Everything a provider does to the world. One method per effect; each gives the change that reports it."""

    engine: Engine
    images: ImageStore
    blobs: Blobs
    net: Net
    chain: Chain
    signer: Signer
    publisher: OfferPublisher
    archive: LogArchive
    clock: Clock
    board: Board = field(default_factory=Board)
    patience: Patience = field(default_factory=Patience)

    @performs(effects.AnnounceOffer)
    async def announce(self, effect: effects.AnnounceOffer) -> changes.Change:
        """Publish the offer; the publisher also hands it to peers that ask directly."""
        signature = self.signer.sign("Offer", effect.offer)
        await self.publisher.publish(SignedOffer(effect.offer, signature))
        return changes.EffectDone()

    @performs(effects.WithdrawOffer)
    async def withdraw(self, effect: effects.WithdrawOffer) -> changes.Change:
        """Peers that ask directly are told why; the others find no offer where it was."""
        await self.publisher.withdraw(refusal=DRAINING)
        return changes.EffectDone()

    @performs(effects.ReadFunding)
    async def read_funding(self, effect: effects.ReadFunding) -> changes.Change:
        """Escrow and payer as the chain knows them now."""
        escrow = effect.escrow
        state = await self.chain.escrow_state(effect.escrow_id)
        (spendable,) = await self.chain.spendables_of([Spender(escrow.payer, escrow.signer, escrow.asset)])
        return changes.FundingRead(
            effect.lease_id, spendable, spendable, state.deposited, state.claimed, state.thaw_end
        )

    @performs(effects.OpenEscrow)
    async def open_escrow(self, effect: effects.OpenEscrow) -> changes.Change:
        """Relay the opening; confirmed when this returns."""
        sent = await self.chain.open_escrow(effect.id, effect.escrow, effect.opening, effect.signature)
        if not sent.ok:
            raise Permanent("the escrow's opening reverted on chain", code="opening_reverted")
        escrow_id = effect.opening.escrow_id
        state = await self.chain.escrow_state(escrow_id)
        return changes.OpeningConfirmed(escrow_id, effect.lease_id, sent.tx_hash, state.deposited, state.claimed)

    @performs(effects.FetchInputs)
    async def fetch_inputs(self, effect: effects.FetchInputs) -> changes.Change:
        """Image and inputs, each checked by its hash."""
        peer, lease_id = Peer(effect.submitter, effect.multiaddrs), effect.lease_id
        try:
            with telling("the image cannot be used here"):
                await self._fetch_image(peer, effect.job, lease_id)
        except Permanent as error:
            other = "job_image" if error.reason_code in JOBS_OWN else "image"
            code = error.reason_code if error.reason_code in IMAGE_CODES else other
            raise Permanent(error.message, code=code) from error
        with telling("an input cannot be had from the submitter"):
            await self._fetch_blobs(peer, "input", tuple(file.blob for file in effect.job.inputs), lease_id)
        return changes.InputsReady(effect.lease_id)

    async def _fetch_image(self, peer: Peer, job: Job, lease_id: Hash32) -> None:
        image, subject = job.image, lease_id.hex()
        if await self.engine.has_image(image):
            return
        if not image.blobs:
            with self.board.show("pulling the image", subject=subject):
                await self.engine.pull_image(image)
            return
        await self._fetch_blobs(peer, "image", image.blobs, lease_id)
        with self.board.show("unpacking the image", subject=subject):
            async with self.images.open_layout(image) as layout:
                await self.engine.import_image(image, layout)

    async def _fetch_blobs(self, peer: Peer, what: str, blobs: tuple[Blob, ...], lease_id: Hash32) -> None:
        with self.board.show(what, sum(blob.size_bytes for blob in blobs), lease_id.hex()) as work:
            before = 0

            def reach(done: int) -> None:
                work.reach(before + done)
                self.patience.reach(lease_id, before + done)

            with self._having_patience(lease_id):
                for blob in blobs:
                    await self.blobs.fetch(peer, blob, reach)
                    before += blob.size_bytes

    @contextmanager
    def _having_patience(self, lease_id: Hash32) -> Iterator[None]:
        """While the submitter sends: it is tried again for a while, and not for as long as a lease may be prepared."""
        self.patience.begin(lease_id, self.clock.now_ns())
        try:
            yield
        except Retryable as error:
            if not self.patience.has_ended(lease_id, self.clock.now_ns()):
                raise
            self.patience.forget(lease_id)
            told = f"the submitter sent next to nothing of what the job needs for {PATIENCE_NS // NANOS_PER_SECOND} s"
            raise Permanent(str(error), code="input", told=told) from error
        except Permanent:
            self.patience.forget(lease_id)
            raise
        self.patience.forget(lease_id)

    @performs(effects.StartWorkload)
    async def start_workload(self, effect: effects.StartWorkload) -> changes.Change:
        """The container runs when this returns; started twice it is started once."""
        job = effect.job
        spec = WorkloadSpec(
            lease_id=effect.lease_id,
            image=job.image,
            command=job.command,
            env=job.env,
            inputs=tuple((file.path, self.blobs.path(file.blob.sha256)) for file in job.inputs),
            resources=job.resources,
            network=job.network,
            duration_limit_ns=effect.duration_limit_ns,
            args=job.args,
            executable=frozenset(file.path for file in job.inputs if file.executable),
            network_bytes=job.network_bytes,
            shm_bytes=job.shm_bytes,
            tmp_bytes=job.tmp_bytes,
            stop_signal=job.stop_signal,
            stop_grace_ns=job.stop_grace_ns,
            packed=frozenset(file.path for file in job.inputs if file.packed),
            input_bytes=input_bytes_of(job),
        )
        with telling("the container does not start here"):
            state = await self.engine.start(spec)
        return changes.WorkloadStarted(effect.lease_id, state.started_at_ns or self.clock.now_ns())

    @performs(effects.WatchWorkload)
    async def watch_workload(self, effect: effects.WatchWorkload) -> changes.Change:
        """Returns when the workload is over."""
        await self.engine.wait(effect.lease_id)
        return await self._make_exited(effect.lease_id)

    @performs(effects.StopWorkload)
    async def stop_workload(self, effect: effects.StopWorkload) -> changes.Change:
        """Returns when no process of it is left."""
        await self.engine.stop(effect.lease_id)
        return await self._make_exited(effect.lease_id)

    async def _make_exited(self, lease_id: Hash32) -> changes.WorkloadExited:
        state = await self.engine.inspect(lease_id)
        counters = await self.engine.read_counters(lease_id)
        return changes.WorkloadExited(
            lease_id,
            counters,
            state.exit_code,
            state.out_of_memory,
            state.timed_out,
            vanished=state.status == "absent",
            network_spent=state.network_spent,
            fault=state.fault,
            gpu_lost=state.gpu_lost,
        )

    @performs(effects.ReadUsage)
    async def read_usage(self, effect: effects.ReadUsage) -> changes.Change:
        """The counters now."""
        read_at_ns = self.clock.now_ns()
        counters = await self.engine.read_counters(effect.lease_id)
        return changes.UsageRead(effect.lease_id, counters, read_at_ns, self.engine.is_over(effect.lease_id))

    @performs(effects.CollectOutputs)
    async def collect_outputs(self, effect: effects.CollectOutputs) -> changes.Change:
        """Outputs as blobs; the log is kept too, because the container and its log go away next."""
        with telling("this provider cannot read them"):
            await self.engine.keep_log(effect.lease_id, self.archive.path(effect.lease_id))
            found = await self.engine.collect_outputs(effect.lease_id, self.blobs.path(effect.lease_id).parent)
        left = found.summary(await self.blobs.add_bytes(encode_inventory(found)))
        log.info(
            "outputs collected", entries=left.entries, size_bytes=left.size_bytes, left_out=left.left_out,
            first=[f"{show_path(one.path)}: {one.reason}" for one in left.first],
        )  # fmt: skip
        return changes.OutputsCollected(effect.lease_id, left=left)

    @performs(effects.RemoveWorkload)
    async def remove_workload(self, effect: effects.RemoveWorkload) -> changes.Change:
        """Nothing of the workload is left when this returns."""
        await self.engine.remove(effect.lease_id)
        return changes.WorkloadRemoved(effect.lease_id)

    @performs(effects.PushReceipts)
    async def push_receipts(self, effect: effects.PushReceipts) -> changes.Change:
        """Sign them (they are durable by now), send them, bring back the voucher."""
        signed = tuple(SignedReceipt(one, self.signer.sign("Receipt", one)) for one in effect.receipts)
        body = await call(
            self.net,
            self.clock,
            Peer(effect.submitter, effect.multiaddrs),
            message.RECEIPTS_PUSH,
            encode(message.ReceiptQueue(signed)),
        )
        answer = read_answer(body, message.VoucherAnswer)
        return changes.VoucherReceived(effect.lease_id, answer.signed, answer.coverage, signed, answer.ahead)

    @performs(effects.PushNews)
    async def push_news(self, effect: effects.PushNews) -> changes.Change:
        """Report to the submitter."""
        peer = Peer(effect.submitter, effect.multiaddrs)
        await call(self.net, self.clock, peer, message.LEASE_NEWS, encode(effect.report))
        return changes.EffectDone()

    @performs(effects.ShowReceipt)
    async def show_receipt(self, effect: effects.ShowReceipt) -> changes.Change:
        """Answer a claim of silence; confirmed when this returns. One that stands no more needs no transaction."""
        (silence,) = await self.chain.silences_of((effect.lease_id,))
        if silence is None or silence.answer_until != effect.answer_until_s:
            return make_seen(effect.lease_id, silence, effect.receipt, self.signer.address)
        signed = SignedReceipt(effect.receipt, self.signer.sign("Receipt", effect.receipt))
        sent = await self.chain.show_receipt(effect.id, signed, effect.most_wei)
        if not sent.ok:
            raise Permanent("the answer to a claim of silence reverted on chain", code="answer_reverted")
        log.info("claim of silence answered", tx=to_hex(sent.tx_hash), gas=sent.gas_used)
        return changes.SilenceAnswered(effect.lease_id, effect.answer_until_s, sent.tx_hash, sent.gas_used)

    @performs(effects.Claim)
    async def claim(self, effect: effects.Claim) -> changes.Change:
        """Claim and release; confirmed when this returns."""
        voucher, signature = (effect.signed.voucher, effect.signed.signature) if effect.signed else (None, b"")
        row = ClaimRow(effect.escrow, voucher, signature)
        sent = await self.chain.claim_and_release(effect.id, (row,), effect.release)
        if not sent.ok:
            raise Permanent("the claim reverted on chain", code="claim_reverted")
        state = await self.chain.escrow_state(effect.escrow_id)
        log.info("claim confirmed", tx=to_hex(sent.tx_hash), gas=sent.gas_used)
        return changes.ClaimConfirmed(effect.escrow_id, state.deposited, state.claimed, sent.tx_hash, sent.gas_used)
