"""Present: the node's records as views for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from msgspec.structs import replace

from metering.codec import encode
from metering.money_words import find_amounts, replace_addresses, replace_amounts, replace_stakes
from metering.receipt import SignedReceipt
from metering.resources import Resources
from metering.sla import Promise
from metering.tariff import Tariff, hourly_price_of
from metering.units import PPM, Address, Amount
from scheduler.job import Job
from scheduler.latency import Latency
from scheduler.offer import SignedOffer, read_software
from scheduler.outputs import NOTHING, show_path
from scheduler.reputation import NO_REPUTATION, Reputation, success_ppm_of
from xnode.chain.deployment.manifest import Asset
from xnode.control import views
from xnode.node.records import (
    OutputsHere,
    ProviderLease,
    SilenceClaim,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
    TimelineEntry,
)
from xnode.peers.search import Ranked
from xnode.ports.chain import Staked
from xnode.text.amount import OPENX_DECIMALS, brief_amount, format_amount, format_openx
from xnode.text.hex import to_hex

MONEY_PAIRS = frozenset({"cost", "cost_limit", "claimed", "missing", "refund"})
"""Pairs of the timeline in base units. A pair named by a node's address is too: that node's score, which is not a price."""

NEEDED_PAIRS = frozenset({"cost_limit", "missing"})
"""Of these, what somebody must have: never shown as less than it is."""

BRIEF_CHARS = 10


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What we know of an offer's node and provider beside the offer; None: nothing. heard_at_ns: when the node last answered, 0
    for never; silent: it did not answer the last time."""

    latency: Latency | None
    reputation: Reputation | None
    stake: Staked | None
    heard_at_ns: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class JobRecords:
    """A job with the lease by which it lives or lived, and the escrow that pays it."""

    job: SubmitterJob
    lease: SubmitterLease | None
    escrow: SubmitterEscrow | None


@dataclass(frozen=True, slots=True)
class Presenter:
    """Makes views; knows the assets' decimals."""

    assets: Mapping[Address, Asset]

    def money(self, amount: int, asset: Address) -> str:
        """A decimal string, exact; base units of an asset that the manifest does not have."""
        known = self.assets.get(asset)
        return format_amount(Amount(amount), known.decimals) if known else str(int(amount))

    def brief(self, amount: int, asset: Address) -> str:
        """For a line of text: an amount with its symbol."""
        return f"{brief_amount(self.money(amount, asset))} {self.symbol(asset)}"

    def stake(self, amount: int) -> str:
        """A decimal string in OPENX, whatever asset the prices beside it are in."""
        return format_amount(Amount(amount), OPENX_DECIMALS)

    def symbol(self, asset: Address) -> str:
        """What people call it."""
        known = self.assets.get(asset)
        return known.symbol if known else to_hex(asset)

    def words(self, text: str) -> str:
        """A line that the cores or a peer wrote, with amounts in units of their asset, and assets by their symbols."""

        def show(amount: int, asset: Address) -> str:
            exact = self.money(amount, asset)
            # Two amounts that differ must not read alike.
            shown = brief_amount(exact) if len({brief_amount(one) for one in exacts}) == len(exacts) else exact
            return f"{shown} {self.symbol(asset)}" if asset in self.assets else ""

        exacts = {self.money(amount, asset) for amount, asset in find_amounts(text)}
        named = replace_stakes(replace_amounts(text, show), format_openx)
        return replace_addresses(named, lambda one: self.assets[one].symbol if one in self.assets else "")

    def prices(self, tariff: Tariff, asset: Address) -> views.Prices:
        """A tariff."""
        return views.Prices(**{name: self.money(getattr(tariff, name), asset) for name in Tariff.__struct_fields__})

    def offer(self, signed: SignedOffer, known: Acquaintance, now_ns: int) -> views.OfferRow:
        """One line of the book."""
        offer, body = signed.offer, signed.offer.body
        software, settings_hash = read_software(body.software)
        return views.OfferRow(
            node=to_hex(offer.node),
            provider=to_hex(offer.provider),
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
            latency_ms=_latency_ms_of(known.latency),
            reputation=_chance_of(known.reputation, now_ns),
            stake=None if known.stake is None else self.stake(known.stake.amount),
            expires_at_ns=offer.expires_at_ns,
            heard_at_ns=known.heard_at_ns,
            silent=known.silent,
            in_default=known.stake is not None and known.stake.in_default,
            software=software,
            settings_hash=settings_hash,
        )

    def candidate(self, one: Ranked, cost_limit: int, job: Job, now_ns: int) -> views.Candidate:
        """An offer that can run the job, and why it ranks where it does."""
        offer, body = one.offer.offer, one.offer.offer.body
        return views.Candidate(
            node=to_hex(offer.node),
            provider=to_hex(offer.provider),
            region=body.region,
            hour_price=self.money(hourly_price_of(job.resources, body.tariff), body.asset),
            cost_limit=self.money(cost_limit, body.asset),
            score=self.money(one.parts.total, body.asset),
            parts={part.name: self.money(getattr(one.parts, part.name), body.asset) for part in fields(one.parts)},
            why=one.parts.describe(),
            latency_ms=_latency_ms_of(one.latency),
            reputation=_chance_of(one.reputation, now_ns),
            has_image=one.has_image,
            hardware=f"{body.profile.cpu_threads} x {body.profile.cpu_model}",
            promise=body.promise.describe(),
        )

    def job_row(self, job: SubmitterJob, lease: SubmitterLease | None) -> views.JobRow:
        """One line of the list."""
        ended = [entry.at_ns for entry in job.timeline if entry.what == "end"]
        return views.JobRow(
            job_id=to_hex(job.job_hash),
            name=job.job.name,
            state=job.status,
            asset=self.symbol(job.job.asset),
            created_at_ns=job.submitted_at_ns,
            provider=to_hex(lease.terms.provider) if lease else "",
            cost=self.money(lease.last.cost, job.job.asset) if lease else "0",
            cost_limit=self.money(lease.terms.cost_limit, job.job.asset) if lease else "0",
            running_ns=lease.last.running_ns if lease else 0,
            ended_at_ns=ended[-1] if ended else None,
            exit_code=job.exit_code,
            reason=self.words(_reason_of(job)),
        )

    def job_detail(self, records: JobRecords) -> views.JobDetail:
        """Everything of one job."""
        job, lease = records.job, records.lease
        detail = views.JobDetail(
            job=self.job_row(job, lease),
            image=job.job.image.digest,
            command=job.job.command,
            resources=hosting(job.job.resources),
            **_here_of(job),
            timeline=tuple(self.entry(entry, job.job.asset) for entry in job.timeline),
        )
        if lease is None:
            return detail
        terms = lease.terms
        return replace(
            detail,
            lease_id=to_hex(lease.lease_id),
            escrow_id=to_hex(terms.escrow_id),
            node=to_hex(terms.node),
            region=next((one.region for one in job.asked if one.node == terms.node), ""),
            hour_price=self.money(hourly_price_of(terms.resources, terms.tariff), terms.asset),
            vouchered=self.money(lease.last.cost, terms.asset),
            settled=self.money(_settled_of(lease, records.escrow), terms.asset),
            receipts=lease.receipts,
            promise=Promise(terms.availability_ppm, terms.refund_ppm).describe(),
            refund=self.money(lease.refund, terms.asset),
        )

    def receipt(self, signed: SignedReceipt, lease: SubmitterLease, is_vouchered: bool) -> views.ReceiptRow:
        """A receipt that we accepted."""
        receipt, asset = signed.receipt, lease.terms.asset
        return views.ReceiptRow(
            lease_id=to_hex(receipt.lease_id),
            number=receipt.number,
            at_ns=receipt.at_ns,
            running_ns=receipt.running_ns,
            usage={name: str(int(getattr(receipt.usage, name))) for name in receipt.usage.__struct_fields__},
            cost=self.money(receipt.cost, asset),
            asset=self.symbol(asset),
            final=receipt.final,
            vouchered=is_vouchered,
            signed=to_hex(encode(signed)),
        )

    def entry(self, entry: TimelineEntry, asset: Address) -> views.TimelineEntry:
        """One thing that happened, its pairs behind the detail; money in the asset."""
        pairs = []
        for name, value in entry.facts:
            if name in MONEY_PAIRS and value.isdecimal():
                shown = brief_amount(self.money(int(value), asset), self.symbol(asset), name in NEEDED_PAIRS)
                pairs.append(f"{name}={shown}")
            elif name.startswith("0x") and value.isdecimal():
                pairs.append(f"score {name}={brief_amount(self.money(int(value), asset))}")
            else:
                pairs.append(f"{name}={value}")
        return views.TimelineEntry(entry.at_ns, entry.what, self.words(f"{entry.detail}  {'  '.join(pairs)}".strip()))

    def lease_row(self, lease: ProviderLease, claim: SilenceClaim | None = None) -> views.LeaseRow:
        """A lease that we serve. claim: that we are silent about it."""
        asset = lease.terms.asset
        state = f"{lease.status} ({lease.end_reason})" if lease.end_reason else lease.status
        return views.LeaseRow(
            lease_id=to_hex(lease.lease_id),
            submitter=to_hex(lease.terms.submitter),
            state=f"{state}, silence claimed" if claim is not None and claim.is_open else state,
            resources=hosting(lease.terms.resources),
            running_ns=lease.last.running_ns,
            cost=self.money(lease.last.cost, asset),
            exposure=self.money(lease.last.cost - lease.covered.cost, asset),
            asset=self.symbol(asset),
            outputs=_left_of(lease),
            begun_at_ns=lease.requested_at_ns,
            ended_at_ns=lease.ended_at_ns,
        )


def _here_of(job: SubmitterJob) -> dict[str, Any]:
    """What has come of the outputs, as fields of a JobDetail."""
    here = job.here or OutputsHere()
    return {
        "entries": here.entries or len(job.outputs),
        "size_bytes": here.size_bytes or sum(one.blob.size_bytes for one in job.outputs),
        "left_out_count": here.left_out,
        "missing": here.missing,
        "folder": here.folder,
        "placed": here.placed,
        "fault": here.fault,
    }


def _left_of(lease: ProviderLease) -> str:
    """What the workload left, in a few words; "" until it is known."""
    left = lease.left
    if left is None or left == NOTHING:
        return ""
    reasons = "; ".join(f"{show_path(one.path)}: {one.reason}" for one in left.first)
    return f"{left.entries:,} outputs" + (f", {left.left_out:,} left out ({reasons})" if left.left_out else "")


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


def brief_hex(data: bytes) -> str:
    """Enough of an address to know it by in a line for people."""
    return to_hex(data)[:BRIEF_CHARS]


def _latency_ms_of(latency: Latency | None) -> float | None:
    return latency.smoothed_us / 1000 if latency is not None else None


def _chance_of(reputation: Reputation | None, now_ns: int) -> float | None:
    """The cautious chance of a good end; None for a stranger, of whom the prior alone would speak."""
    if reputation is None or reputation == NO_REPUTATION:
        return None
    return success_ppm_of(reputation, now_ns) / PPM


def _reason_of(job: SubmitterJob) -> str:
    if job.end_reason:
        return f"{job.end_reason}: {job.end_detail}".removesuffix(": ")
    if job.status == "searching" and job.waits:
        for entry in reversed(job.timeline):
            if entry.what == "waiting":
                return entry.detail
    waits = job.status in ("searching", "quoting", "leasing") and bool(job.timeline)
    return f"{job.timeline[-1].what}: {job.timeline[-1].detail}" if waits else ""
