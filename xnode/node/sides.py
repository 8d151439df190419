"""Sides: what concerns a node as provider and as submitter at once: its start, and what the chain shows of an escrow."""

from __future__ import annotations

import msgspec

from metering.units import Hash32
from xnode.node import changes, effects
from xnode.node.deployment import is_moved, leave_deployment
from xnode.node.leaving import let_all_go
from xnode.node.provider.lease import see_escrow as see_earned
from xnode.node.provider.money import resume_escrow
from xnode.node.provider.offer import refresh_offer
from xnode.node.records import (
    NodeSettings,
    ProviderEscrow,
    ProviderSettings,
    SubmitterEscrow,
    SubmitterJob,
)
from xnode.node.registry import handles, resumes
from xnode.node.state import Turn
from xnode.node.submitter.job import resume_job
from xnode.node.submitter.money import see_escrow as see_paid


@handles(changes.NodeStarted)
def on_node_started(turn: Turn, change: changes.NodeStarted) -> None:
    """Take the settings; leases that were open go on under the terms they have."""
    if is_moved(turn.state, change.separator):
        leave_deployment(turn)
    before = turn.state.settings
    turn.put(
        NodeSettings(
            node=change.node,
            separator=change.separator,
            software=change.software,
            provider=_keep_verified(before.provider, change.provider),
            submitter=change.submitter,
            drained_at_ns=before.drained_at_ns,
            settings_hash=change.settings_hash,
            unchanged_since_ns=_find_since(turn, change.software, change.settings_hash),
        )
    )
    _resume(turn, change.away_ns)
    for job in tuple(turn.state.all(SubmitterJob)):
        resume_job(turn, job)
    for escrow in tuple(turn.state.all(ProviderEscrow)):
        resume_escrow(turn, escrow)
    let_all_go(turn)
    refresh_offer(turn, change.multiaddrs, anew=True)


@handles(changes.SettingsChanged)
def on_settings_changed(turn: Turn, change: changes.SettingsChanged) -> None:
    """Take them for what is new: quotes and leases keep what they were made with, and what was measured stays known."""
    settings = turn.state.settings
    provider = _keep_verified(settings.provider, change.provider)
    if provider is not None and settings.provider is not None:
        provider = msgspec.structs.replace(provider, working_gpus=settings.provider.working_gpus)
    turn.put(
        settings,
        provider=provider,
        submitter=change.submitter,
        settings_hash=change.settings_hash,
        unchanged_since_ns=_find_since(turn, settings.software, change.settings_hash),
    )
    turn.emit(effects.ReplyOk(change.reply_to))
    if turn.state.settings != settings:
        refresh_offer(turn, anew=not settings.drained_at_ns)


def _find_since(turn: Turn, software: str, settings_hash: Hash32) -> int:
    """Since when software and settings are these."""
    before = turn.state.settings
    is_same = (before.software, before.settings_hash) == (software, settings_hash)
    return before.unchanged_since_ns if is_same and before.unchanged_since_ns else turn.at_ns


@handles(changes.NodeResumed)
def on_node_resumed(turn: Turn, change: changes.NodeResumed) -> None:
    """What others did while we were away we could not hear: nobody is judged by it."""
    _resume(turn, change.away_ns)


def _resume(turn: Turn, away_ns: int) -> None:
    for record in tuple(turn.state.records()):
        if hasattr(record, "wake_at_ns"):
            resumes.find(record)(turn, record, away_ns)


def _keep_verified(before: ProviderSettings | None, now: ProviderSettings | None) -> ProviderSettings | None:
    # What was verified is read again soon; until then selling more than we knew of would be slashable.
    if before is None or now is None or before.owner != now.owner:
        return now
    return msgspec.structs.replace(
        now,
        verified_vcpus=before.verified_vcpus,
        verified_gpus=before.verified_gpus,
        term=before.term,
        in_doubt_until_s=before.in_doubt_until_s,
        opening_ns=before.opening_ns,
        affordable=before.affordable,
        leases_disk_bytes=before.leases_disk_bytes,
        disk_is_short=before.disk_is_short,
    )


@handles(changes.ChainSeen)
def on_chain_seen(turn: Turn, change: changes.ChainSeen) -> None:
    """What a provider can promise depends on it."""
    settings = turn.state.settings
    if settings.provider is not None:
        seen = msgspec.structs.replace(settings.provider, opening_ns=change.opening_ns, affordable=change.affordable)
        turn.put(settings, provider=seen)


@handles(changes.EscrowSeen)
def on_escrow_seen(turn: Turn, change: changes.EscrowSeen) -> None:
    """A node that leases from itself has the escrow on both sides."""
    paid = turn.get(SubmitterEscrow, change.escrow_id)
    if paid is not None:
        see_paid(turn, paid, change)
    earned = turn.get(ProviderEscrow, change.escrow_id)
    if earned is not None:
        see_earned(turn, earned, change)
