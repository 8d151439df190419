"""Console: the control methods: what the command line asks of the daemon."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from metering.codec import encode
from metering.receipt import SignedReceipt
from metering.tariff import Tariff
from metering.units import NANOS_PER_SECOND, Address, Hash32
from scheduler.feasible import cost_limit_of
from scheduler.job import Job
from xnode.console.evidence import EvidenceMaker
from xnode.console.jobs import JobMaker, find_job_id, find_lease_id
from xnode.console.present import ENDED, Presenter, hex_of, hosting, show_documents
from xnode.control import views
from xnode.errors import ExitCode, UserError
from xnode.loop import Loop
from xnode.node import changes, effects
from xnode.node.lease import OPEN
from xnode.node.records import HeldQuote, ProviderEscrow, ProviderLease, SubmitterJob, SubmitterLease, TimelineEntry
from xnode.peers.job_log import JobLog
from xnode.peers.market import Market
from xnode.ports.chain import Chain
from xnode.ports.clock import Clock
from xnode.store.journal import Journal
from xnode.text.amount import parse_amount

ANSWER_NS = 20 * NANOS_PER_SECOND
"""How long the node may take to take a job in; hashing its files is done before."""

LOG_PIECE_BYTES = 64 << 10
LOG_POLL_S = 0.05
"""The log's own file is the channel between the follower and the reader; a look each 50 ms is below what eyes notice."""

LOG_QUIET_S = 20.0
"""How long the rest of an ended job's log is waited for: its provider may be away for a moment, or for ever."""

Method = Callable[[dict[str, Any]], Any]


@dataclass(slots=True)
class Console:
    """Answers the control socket. Reads the loop's state; changes it only by changes."""

    loop: Loop
    journal: Journal
    clock: Clock
    market: Market
    chain: Chain
    maker: JobMaker
    presenter: Presenter
    evidence: EvidenceMaker
    log_folder: Path
    home: str
    version: str
    stop: Callable[[], None]
    restart_net: Callable[[], None]
    ready: Callable[[], dict[str, str]]
    peers: Callable[[], int]
    multiaddrs: Callable[[], tuple[str, ...]]
    chain_id: int
    http: Callable[[], str]
    started_at_ns: int
    refusals: Counter[str] = field(default_factory=Counter)

    def methods(self) -> Mapping[str, Method]:
        """Control methods by name."""
        return {
            "node.status": self.node_status,
            "node.stop": self.node_stop,
            "net.restart": self.net_restart,
            "offer.list": self.offer_list,
            "offer.contradictions": self.offer_contradictions,
            "job.plan": self.job_plan,
            "job.submit": self.job_submit,
            "job.list": self.job_list,
            "job.show": self.job_show,
            "job.events": self.job_events,
            "job.logs": self.job_logs,
            "job.stop": self.job_stop,
            "job.wait": self.job_wait,
            "job.outputs": self.job_outputs,
            "job.receipts": self.job_receipts,
            "job.evidence": self.job_evidence,
            "provider.set_price": self.provider_set_price,
            "provider.earnings": self.provider_earnings,
            "provider.status": self.provider_status,
            "provider.evidence": self.provider_evidence,
        }

    # ------------------------------------------------------------------------------------------------------------- node

    async def node_status(self, _params: dict[str, Any]) -> views.NodeStatus:
        """How the node is."""
        state, settings = self.loop.state, self.loop.state.settings
        roles = (("provider",) if settings.provider else ()) + (("submitter",) if settings.submitter else ())
        tasks = sum(lease.status in OPEN for lease in state.all(SubmitterLease))
        leases = sum(lease.status in OPEN for lease in state.all(ProviderLease))
        return views.NodeStatus(
            pid=os.getpid(),
            version=self.version,
            roles=roles,
            node=hex_of(settings.node),
            home=self.home,
            started_at_ns=self.started_at_ns,
            multiaddrs=self.multiaddrs(),
            peers=self.peers(),
            chain_id=self.chain_id,
            offers=len(self.market.book),
            leases=tasks + leases,
            http=self.http(),
            ready=self.ready(),
        )

    async def node_stop(self, _params: dict[str, Any]) -> bool:
        """Stop the daemon after this answer. Workloads go on."""
        self.stop()
        return True

    async def net_restart(self, _params: dict[str, Any]) -> bool:
        """Tear libp2p down and start it anew: calls under way are tried again, leases and money do not notice."""
        self.restart_net()
        return True

    async def offer_list(self, _params: dict[str, Any]) -> list[views.OfferRow]:
        """The book, refreshed when stale."""
        await self.market.refresh_if_stale()
        latencies = self.market.latencies
        return [
            self.presenter.offer(
                signed, latencies[signed.offer.node].smoothed_us if signed.offer.node in latencies else None
            )
            for signed in sorted(self.market.book, key=lambda one: one.offer.node)
        ]

    # -------------------------------------------------------------------------------------------------------------- job

    async def offer_contradictions(self, _params: dict[str, Any]) -> list[dict[str, str]]:
        """The documents of every two different offers that a node signed under one number and we were shown."""
        documents = [
            document for proof in self.market.book.proofs for document in self.evidence.make_contradiction(proof)
        ]
        return [{"type": document.kind, "bytes": hex_of(encode(document))} for document in documents]

    async def job_plan(self, params: dict[str, Any]) -> views.PlanView:
        """What a submission would find now; nothing is signed, nothing is kept."""
        job = await self.maker.make_for_plan(params)
        found = await self.market.search(job, ())
        settings = self.loop.state.settings.submitter
        payer = settings.payer if settings else None
        funds = await self.chain.free_balance(payer, job.asset) if payer else 0
        candidates = tuple(
            self.presenter.candidate(one, cost_limit_of(job, one.offer.offer.body.tariff), job.resources)
            for one in found.candidates
        )
        return views.PlanView(
            name=job.name,
            asset=self.presenter.symbol(job.asset),
            offers=found.seen,
            candidates=candidates,
            shortfalls=tuple(views.Shortfall(code, count, detail) for code, count, detail in found.shortfalls),
            payer=hex_of(payer) if payer else "",
            funds=self.presenter.money(funds, job.asset),
            budget=self.presenter.money(job.budget, job.asset),
            warnings=self._make_warnings(job, int(funds), payer),
        )

    def _make_warnings(self, job: Job, funds: int, payer: Address | None) -> tuple[str, ...]:
        if payer is None:
            return ("this node has no payer; set submitter.payer in its config",)
        if funds == 0:
            return (f"nothing is deposited for {hex_of(payer)}; run `xnode pay deposit` first",)
        return ()

    async def job_submit(self, params: dict[str, Any]) -> dict[str, str]:
        """Take a job in; durable when this answers."""
        job = await self.maker.make(params)
        reply = await self._ask(lambda to: changes.JobSubmitted(to, job))
        return {"job_id": hex_of(reply)}

    async def job_list(self, _params: dict[str, Any]) -> list[views.JobRow]:
        """All jobs, newest first."""
        jobs = await self.journal.read_records(SubmitterJob)
        rows = [self.presenter.job_row(self.loop.state, job) for job in jobs if isinstance(job, SubmitterJob)]
        return sorted(rows, key=lambda row: -row.created_at_ns)

    async def job_show(self, params: dict[str, Any]) -> views.JobDetail:
        """One job."""
        return self.presenter.job_detail(self.loop.state, await self._find_job(params))

    async def job_events(self, params: dict[str, Any]) -> AsyncIterator[views.TimelineEntry]:
        """What happened to a job; with `follow` also what happens, until it has ended (with `settled`: is settled)."""
        job = await self._find_job(params)
        follow = bool(params.get("follow"))
        shown = counted = 0
        while True:
            changed = self.loop.next_change()
            job = self.loop.state.get(SubmitterJob, job.job_hash) or job
            for entry in job.timeline[shown:]:
                yield self.presenter.entry(entry, job.job.asset)
            shown = len(job.timeline)
            lease = self.loop.state.get(SubmitterLease, job.lease_id) if job.lease_id else None
            if follow and lease is not None and lease.last.number > counted:
                counted = lease.last.number
                yield self._make_counter(lease)
            if not follow or (job.status in ENDED and self._is_over(job, params)):
                return
            await changed.wait()

    def _is_over(self, job: SubmitterJob, params: dict[str, Any]) -> bool:
        lease = self.loop.state.get(SubmitterLease, job.lease_id) if job.lease_id else None
        return not params.get("settled") or lease is None or lease.status in ("settled", "refused")

    def _make_counter(self, lease: SubmitterLease) -> views.TimelineEntry:
        text = f"receipt {lease.receipts} checked, voucher signed"
        entry = TimelineEntry(lease.last.at_ns, "receipt", text, (("cost", str(int(lease.last.cost))),))
        return self.presenter.entry(entry, lease.terms.asset)

    async def job_logs(self, params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The log from an offset on; with `follow` as it grows, until the workload has ended."""
        job = await self._find_job(params)
        offset, follow, quiet_s = int(params.get("offset", 0)), bool(params.get("follow")), 0.0
        while True:
            job = self.loop.state.get(SubmitterJob, job.job_hash) or job
            mine = JobLog(self.log_folder, job.lease_id) if job.lease_id else None
            over = mine is None or mine.has_ended() or quiet_s >= LOG_QUIET_S
            data = await trio.to_thread.run_sync(_read_piece, mine.path, offset) if mine else b""
            if data:
                offset, quiet_s = offset + len(data), 0.0
                yield {"offset": offset, "data": base64.b64encode(data).decode()}
            elif not follow or (over and job.status in ENDED):
                return
            else:
                await trio.sleep(LOG_POLL_S)
                quiet_s += LOG_POLL_S if job.status in ENDED else 0.0

    async def job_stop(self, params: dict[str, Any]) -> views.JobDetail:
        """Ask for the job's end."""
        job = await self._find_job(params)
        if job.status not in ENDED:
            await self._ask(lambda to: changes.JobStopRequested(to, job.job_hash))
        return self.presenter.job_detail(self.loop.state, self.loop.state.get(SubmitterJob, job.job_hash) or job)

    async def job_wait(self, params: dict[str, Any]) -> views.JobDetail:
        """The job, once it has ended (with `settled`: once it is settled)."""
        job = await self._find_job(params)
        while job.status not in ENDED or not self._is_over(job, params):
            await self.loop.wait_change()
            job = self.loop.state.get(SubmitterJob, job.job_hash) or job
        return self.presenter.job_detail(self.loop.state, job)

    async def job_outputs(self, params: dict[str, Any]) -> tuple[views.OutputRow, ...]:
        """The job's outputs."""
        return self.presenter.outputs(await self._find_job(params))

    async def job_receipts(self, params: dict[str, Any]) -> list[views.ReceiptRow]:
        """Every receipt that we accepted, with its signature."""
        job = await self._find_job(params)
        if job.lease_id is None:
            return []
        entries = await self.journal.read_entries(job.lease_id, ("ReceiptsReceived",))
        lease = self.loop.state.get(SubmitterLease, job.lease_id)
        rows: dict[int, views.ReceiptRow] = {}
        for entry in entries:
            assert isinstance(entry.change, changes.ReceiptsReceived)
            for signed in entry.change.receipts:
                if lease is None or signed.receipt.number <= lease.last.number:
                    rows[signed.receipt.number] = self._make_receipt_row(job, signed)
        return [rows[number] for number in sorted(rows)]

    def _make_receipt_row(self, job: SubmitterJob, signed: SignedReceipt) -> views.ReceiptRow:
        receipt = signed.receipt
        usage = {name: str(int(getattr(receipt.usage, name))) for name in receipt.usage.__struct_fields__}
        return views.ReceiptRow(
            lease_id=hex_of(receipt.lease_id),
            number=receipt.number,
            at_ns=receipt.at_ns,
            running_ns=receipt.running_ns,
            usage=usage,
            cost=self.presenter.money(receipt.cost, job.job.asset),
            asset=self.presenter.symbol(job.job.asset),
            final=receipt.final,
            vouchered=True,
            signed=hex_of(encode(signed)),
        )

    async def job_evidence(self, params: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
        """The documents of a job's leases, and of the others on their escrows, for whoever audits."""
        job = await self._find_job(params)
        leases = [one for one in await self.journal.read_records(SubmitterLease) if isinstance(one, SubmitterLease)]
        for escrow_id in sorted({one.terms.escrow_id for one in leases if one.job_hash == job.job_hash}):
            for documents in await self.evidence.make_paid(escrow_id):
                for row in show_documents(documents):
                    yield row

    async def _find_job(self, params: dict[str, Any]) -> SubmitterJob:
        text = str(params.get("job_id", ""))
        live = {job.job_hash: job for job in self.loop.state.all(SubmitterJob)}
        return live[find_job_id(text, list(live))]

    async def _ask(self, make_change: Callable[[str], changes.Change]) -> bytes:
        reply = await self.loop.ask(make_change, self.clock.now_ns() + ANSWER_NS)
        if isinstance(reply, effects.ReplyRefusal):
            raise UserError(str(reply.refusal), code=ExitCode.REFUSED)
        assert isinstance(reply, effects.ReplyOk)
        return reply.value

    # --------------------------------------------------------------------------------------------------------- provider

    async def provider_set_price(self, params: dict[str, Any]) -> views.Prices:
        """New prices for new quotes. A price not named stays."""
        provider = self.loop.state.settings.provider
        if provider is None:
            raise UserError("this node is not a provider", hint="run `xnode provider init`")
        decimals = self.presenter.assets[provider.asset].decimals
        prices = {name: getattr(provider.tariff, name) for name in Tariff.__struct_fields__}
        for name, text in dict(params.get("prices", {})).items():
            if name not in prices:
                raise UserError(f"there is no price {name}", hint=f"use one of: {', '.join(prices)}")
            prices[name] = parse_amount(str(text), decimals)
        tariff = Tariff(**prices)
        await self.loop.tell(changes.PricesSet(tariff))
        return self.presenter.prices(tariff, provider.asset)

    async def provider_earnings(self, _params: dict[str, Any]) -> views.EarningsView:
        """Sums over all leases, by asset."""
        sums: dict[Address, list[int]] = {}
        for escrow in self.loop.state.all(ProviderEscrow):
            row = sums.setdefault(escrow.escrow.asset, [0, 0])
            row[0] += int(escrow.cumulative)
            row[1] += int(escrow.claimed)
        leases = list(self.loop.state.all(ProviderLease))
        rows = []
        for asset, (vouchered, claimed) in sums.items():
            earned = sum(int(lease.last.cost) for lease in leases if lease.terms.asset == asset)
            rows.append(
                views.Earning(
                    asset=self.presenter.symbol(asset),
                    earned=self.presenter.money(earned, asset),
                    vouchered=self.presenter.money(vouchered, asset),
                    claimed=self.presenter.money(claimed, asset),
                    pending=self.presenter.money(max(0, vouchered - claimed), asset),
                    leases=len(leases),
                )
            )
        provider = self.loop.state.settings.provider
        return views.EarningsView(
            provider=hex_of(provider.owner) if provider else "",
            rows=tuple(rows),
            settled_leases=sum(lease.status == "settled" for lease in leases),
            open_leases=sum(lease.status in OPEN for lease in leases),
        )

    async def provider_status(self, _params: dict[str, Any]) -> views.ProviderStatus:
        """What is offered, what runs, and why jobs were turned away."""
        state, provider = self.loop.state, self.loop.state.settings.provider
        if provider is None:
            raise UserError("this node is not a provider", hint="run `xnode provider init`")
        standing = state.standing_offer
        owner = await self.chain.provider_of(state.settings.node)
        leases = [lease for lease in state.all(ProviderLease) if lease.status != "refused"]
        return views.ProviderStatus(
            node=hex_of(state.settings.node),
            provider=hex_of(provider.owner),
            registered=owner == provider.owner,
            asset=self.presenter.symbol(provider.asset),
            region=provider.region,
            prices=self.presenter.prices(provider.tariff, provider.asset),
            capacity=hosting(provider.offered_resources()),
            free=hosting(standing.free),
            stake=self.presenter.money(await self.chain.stake_of(provider.owner), provider.asset),
            offer_number=standing.number,
            offer_expires_at_ns=standing.expires_at_ns,
            quotes=sum(1 for _ in state.all(HeldQuote)),
            leases=tuple(self.presenter.lease_row(lease) for lease in leases),
            refusals=dict(self.refusals),
            hints=self._make_hints(owner, provider.owner),
        )

    async def provider_evidence(self, params: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
        """The documents of a lease that we serve, and of the other leases on its escrow, for whoever audits."""
        leases = {one.key: one for one in await self.journal.read_records(ProviderLease)}
        lease_id = find_lease_id(str(params.get("lease_id", "")), [Hash32(key) for key in leases])
        lease = leases[lease_id]
        assert isinstance(lease, ProviderLease)
        for documents in await self.evidence.make_earned(lease.terms.escrow_id):
            for row in show_documents(documents):
                yield row

    def _make_hints(self, owner: Address | None, expected: Address) -> tuple[str, ...]:
        hints = []
        if owner != expected:
            hints.append(
                "the node key is not registered to its owner on chain, so nobody leases it: run `xnode provider init`"
            )
        provider = self.loop.state.settings.provider
        if provider is not None and provider.offered_resources() != provider.capacity:
            hints.append(
                "the share is larger than what was verified, and the rest is held back because its use would be slashable:"
                " run `xnode provider capacity request` for all of it"
            )
        if not self.peers():
            hints.append("no peer is connected: check node.bootstrap and the network")
        if self.refusals:
            code, count = self.refusals.most_common(1)[0]
            hints.append(f"{count} jobs were turned away for {code!r}, the most frequent reason")
        return tuple(hints)


def _read_piece(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(LOG_PIECE_BYTES)
    except FileNotFoundError:
        return b""
