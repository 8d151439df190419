"""Rules: the operator's config as the settings that the node's core works under."""

from __future__ import annotations

from metering.bounds import MAX_LABEL_CHARS, cut
from metering.resources import Resources
from metering.sla import NO_PROMISE, Promise
from metering.tariff import Tariff
from metering.units import NANOS_PER_SECOND
from scheduler.offer import HardwareProfile, fit_profile
from xnode.chain.deployment.manifest import Manifest
from xnode.config.settings import ProviderConfig, SubmitterConfig
from xnode.node.records import ProviderSettings, SubmitterSettings
from xnode.runtime.host.facts import choose_runtime
from xnode.runtime.host.fitness import Wanted
from xnode.runtime.podman.command import NOFILE, NPROC
from xnode.text.amount import parse_amount

OFFER_TTL_NS = 600 * NANOS_PER_SECOND
"""How long an offer stands: a provider that vanishes is out of the market within ten minutes."""

QUOTE_WAIT_NS = 3 * NANOS_PER_SECOND
"""How long quotes are waited for: a provider that takes longer would be slow in everything else too."""

OPENING_TTL_S = 600
"""How long a signed opening may be sent: some blocks, and far below any thaw."""

FINAL_VOUCHER_NS = 120 * NANOS_PER_SECOND
"""How long a provider waits for the last voucher: time for a laptop to wake or a daemon to restart."""


def make_provider_settings(config: ProviderConfig, manifest: Manifest, profile: HardwareProfile) -> ProviderSettings:
    """What this host offers and on which terms: never more than it has, and the OCI runtime that it really uses."""
    asset, share = manifest.find_asset(config.asset), config.share
    return ProviderSettings(
        owner=config.owner,
        profile=fit_profile(profile),
        capacity=Resources(
            vcpu_milli=min(round(share.vcpus * 1000), profile.cpu_threads * 1000),
            memory_bytes=min(share.memory_bytes, profile.memory_bytes),
            disk_bytes=share.disk_bytes,
            gpus=min(share.gpus, len(profile.gpus)),
            gpu_model=cut(profile.gpus[0].model, MAX_LABEL_CHARS) if profile.gpus and share.gpus else "",
        ),
        tariff=make_tariff(config, manifest),
        asset=asset.address,
        region=config.region,
        interval_ns=config.interval_ns,
        exposure_intervals=config.exposure_intervals,
        min_duration_ns=NANOS_PER_SECOND,
        max_duration_ns=config.max_duration_ns,
        thaw=max(config.thaw_s, manifest.min_thaw_s),
        allows_network=config.allow_network,
        runtime=choose_runtime(config.oci_runtime) or config.oci_runtime,
        quote_ttl_ns=config.quote_ttl_ns,
        offer_ttl_ns=OFFER_TTL_NS,
        final_voucher_ns=FINAL_VOUCHER_NS,
        stranger_share_ppm=config.stranger_share_ppm,
        promise=Promise(config.sla.availability_ppm, config.sla.refund_ppm) if config.sla else NO_PROMISE,
        registries=config.registries,
    )


def make_wanted(config: ProviderConfig) -> Wanted:
    """What this asks of the host."""
    share = config.share
    return Wanted(
        vcpus=share.vcpus,
        memory_bytes=share.memory_bytes,
        disk_bytes=share.disk_bytes,
        gpus=share.gpus,
        runtime=config.oci_runtime,
        network=config.allow_network,
        files=NOFILE,
        processes=NPROC,
    )


def make_tariff(config: ProviderConfig, manifest: Manifest) -> Tariff:
    """What this host asks."""
    decimals = manifest.find_asset(config.asset).decimals
    prices = {
        name: parse_amount(getattr(config.prices, name), decimals, where=f"provider.prices.{name}")
        for name in Tariff.__struct_fields__
    }
    return Tariff(**prices)


def make_submitter_settings(config: SubmitterConfig, manifest: Manifest) -> SubmitterSettings | None:
    """How we buy; None on a node without a payer."""
    if config.payer is None:
        return None
    return SubmitterSettings(
        payer=config.payer,
        quotes=config.quotes,
        quote_wait_ns=QUOTE_WAIT_NS,
        thaw=max(config.thaw_s, manifest.min_thaw_s),
        opening_ttl_s=OPENING_TTL_S,
        silence_ns=config.silence_ns,
        capacity_wait_ns=config.capacity_wait_ns,
        max_exposure_intervals=config.max_exposure_intervals,
        max_exposure_ns=config.max_exposure_ns,
        max_prepay_ns=config.max_prepay_ns,
    )
