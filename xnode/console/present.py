"""Show: the node's records as views for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metering.codec import encode
from metering.evidence import LeaseEvidence
from metering.resources import Resources
from metering.sla import Promise
from metering.tariff import Tariff, hourly_price_of
from metering.units import Address, Amount
from scheduler.offer import SignedOffer
from xnode.chain.deployment.manifest import Asset
from xnode.control import views
from xnode.node.records import (
    Candidate,
    ProviderLease,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
    TimelineEntry,
)
from xnode.node.state import State
from xnode.ports.store import Blobs
from xnode.text.amount import format_amount

MONEY_FACTS = frozenset({"cost", "cost_limit", "claimed", "missing", "refund"})
"""Timeline facts in base units; a fact named by a node address is that node's score."""

ENDED = ("done", "failed", "stopped")


@dataclass(frozen=True, slots=True)
class Presenter:
    """Makes views; knows the assets' decimals and where blobs lie."""

    assets: Mapping[Address, Asset]
    blobs: Blobs

    def money(self, amount: int, asset: Address) -> str:
        """A decimal string, exact; base units of an asset nobody told us of."""
        known = self.assets.get(asset)
        return format_amount(Amount(amount), known.decimals) if known else str(int(amount))

    def symbol(self, asset: Address) -> str:
        """What people call it."""
        known = self.assets.get(asset)
        return known.symbol if known else hex_of(asset)

    def prices(self, tariff: Tariff, asset: Address) -> views.Prices:
        """A tariff."""
        return views.Prices(**{name: self.money(getattr(tariff, name), asset) for name in Tariff.__struct_fields__})

    def offer(self, signed: SignedOffer, latency_us: int | None) -> views.OfferRow:
        """One line of the book."""
        offer, body = signed.offer, signed.offer.body
        return views.OfferRow(
            node=hex_of(offer.node),
            provider=hex_of(offer.provider),
            number=offer.number,
            region=body.region,
            asset=self.symbol(body.asset),
            free=hosting(body.free),
            capacity=hosting(body.capacity),
            prices=self.prices(body.tariff, body.asset),
            hour_price=self.money(hourly_price_of(body.free, body.tariff), body.asset),
            allows_network=body.allows_network,
            promise=body.promise.describe(),
            runtime=body.runtime,
            cpu_model=body.profile.cpu_model,
            latency_ms=latency_us / 1000 if latency_us is not None else None,
            expires_at_ns=offer.expires_at_ns,
        )

    def candidate(self, one: Candidate, cost_limit: int, resources: Resources) -> views.Candidate:
        """An offer that fits, and why it ranks where it does."""
        offer, body = one.offer.offer, one.offer.offer.body
        return views.Candidate(
            node=hex_of(offer.node),
            provider=hex_of(offer.provider),
            region=body.region,
            hour_price=self.money(hourly_price_of(resources, body.tariff), body.asset),
            cost_limit=self.money(cost_limit, body.asset),
            score=self.money(one.score, body.asset),
            parts={"why": one.why},
            latency_ms=one.rtt_ns / 1e6,
            hardware=f"{body.profile.cpu_threads} x {body.profile.cpu_model}",
            promise=body.promise.describe(),
        )

    def job_row(self, state: State, job: SubmitterJob) -> views.JobRow:
        """One line of the list."""
        lease = state.get(SubmitterLease, job.lease_id) if job.lease_id else None
        ended = [entry.at_ns for entry in job.timeline if entry.what == "end"]
        return views.JobRow(
            job_id=hex_of(job.job_hash),
            name=job.job.name,
            state=job.status,
            asset=self.symbol(job.job.asset),
            created_at_ns=job.submitted_at_ns,
            provider=hex_of(lease.terms.provider) if lease else "",
            cost=self.money(lease.last.cost, job.job.asset) if lease else "0",
            cost_limit=self.money(lease.terms.cost_limit, job.job.asset) if lease else "0",
            running_ns=lease.last.running_ns if lease else 0,
            ended_at_ns=ended[-1] if ended else None,
            exit_code=job.exit_code,
            reason=f"{job.end_reason}: {job.end_detail}".removesuffix(": ") if job.end_reason else "",
        )

    def job_detail(self, state: State, job: SubmitterJob) -> views.JobDetail:
        """Everything of one job."""
        lease = state.get(SubmitterLease, job.lease_id) if job.lease_id else None
        escrow = state.get(SubmitterEscrow, lease.terms.escrow_id) if lease else None
        detail = views.JobDetail(
            job=self.job_row(state, job),
            image=job.job.image.digest,
            command=job.job.command,
            resources=hosting(job.job.resources),
            outputs=self.outputs(job),
            timeline=tuple(self.entry(entry, job.job.asset) for entry in job.timeline),
        )
        if lease is None:
            return detail
        return views.JobDetail(
            job=detail.job,
            image=detail.image,
            command=detail.command,
            resources=detail.resources,
            lease_id=hex_of(lease.lease_id),
            escrow_id=hex_of(lease.terms.escrow_id),
            node=hex_of(lease.terms.node),
            hour_price=self.money(hourly_price_of(lease.terms.resources, lease.terms.tariff), lease.terms.asset),
            vouchered=self.money(lease.last.cost, lease.terms.asset),
            settled=self.money(_settled_of(lease, escrow), lease.terms.asset),
            receipts=lease.receipts,
            promise=Promise(lease.terms.availability_ppm, lease.terms.refund_ppm).describe(),
            refund=self.money(lease.refund, lease.terms.asset),
            outputs=detail.outputs,
            timeline=detail.timeline,
        )

    def outputs(self, job: SubmitterJob) -> tuple[views.OutputRow, ...]:
        """The outputs that are here."""
        return tuple(
            views.OutputRow(
                one.path,
                hex_of(one.blob.sha256),
                one.blob.size_bytes,
                str(self.blobs.path(one.blob.sha256)) if self.blobs.has(one.blob) else "",
            )
            for one in job.outputs
        )

    def entry(self, entry: TimelineEntry, asset: Address) -> views.TimelineEntry:
        """One thing that happened, its facts behind the detail; money in the asset."""
        pairs = []
        for name, value in entry.facts:
            is_money = name in MONEY_FACTS or name.startswith("0x")
            shown = f"{self.money(int(value), asset)} {self.symbol(asset)}" if is_money and value.isdecimal() else value
            pairs.append(f"{name}={shown}")
        return views.TimelineEntry(entry.at_ns, entry.what, f"{entry.detail}  {'  '.join(pairs)}".strip())

    def lease_row(self, lease: ProviderLease) -> views.LeaseRow:
        """A lease that we serve."""
        asset = lease.terms.asset
        return views.LeaseRow(
            lease_id=hex_of(lease.lease_id),
            submitter=hex_of(lease.terms.submitter),
            state=f"{lease.status} ({lease.end_reason})" if lease.end_reason else lease.status,
            resources=hosting(lease.terms.resources),
            running_ns=lease.last.running_ns,
            cost=self.money(lease.last.cost, asset),
            exposure=self.money(lease.last.cost - lease.covered.cost, asset),
            asset=self.symbol(asset),
        )


def show_documents(evidence: LeaseEvidence) -> Iterator[dict[str, str]]:
    """Each document of a lease as its kind and its canonical bytes, the lease's own document first."""
    documents = (evidence.document, *evidence.receipts, *evidence.vouchers)
    for document in documents:
        yield {
            "type": type(document).__name__,
            "lease_id": hex_of(evidence.lease_id),
            "bytes": hex_of(encode(document)),
        }


def _settled_of(lease: SubmitterLease, escrow: SubmitterEscrow | None) -> int:
    """What was paid on chain for this lease: its escrow's claims also pay other leases."""
    if lease.status != "settled":
        return 0
    # An escrow that is no longer at hand was closed after a thaw: what was promised by then could be claimed.
    return min(lease.last.cost, escrow.claimed) if escrow else lease.last.cost


def hosting(resources: Resources) -> views.Hosting:
    """Resources."""
    return views.Hosting(
        resources.vcpu_milli, resources.memory_bytes, resources.disk_bytes, resources.gpus, resources.gpu_model
    )


def hex_of(data: bytes) -> str:
    """0x hex."""
    return "0x" + data.hex()
