"""Perform: which action each effect asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.errors import Permanent
from xnode.node import effects
from xnode.node.changes import Change

Action = Callable[[Any], Awaitable[Change]]


def make_perform(provider: ProviderEffects | None, submitter: SubmitterEffects) -> Action:
    """Does any effect."""
    table: dict[type[Any], Action] = {
        effects.SearchOffers: submitter.search,
        effects.RequestQuote: submitter.request_quote,
        effects.DropQuote: submitter.drop_quote,
        effects.ReadFunds: submitter.read_funds,
        effects.RequestLease: submitter.request_lease,
        effects.AskLease: submitter.ask_lease,
        effects.FetchOutputs: submitter.fetch_outputs,
        effects.StartThaw: submitter.start_thaw,
        effects.CloseEscrow: submitter.close_escrow,
    }
    if provider is not None:
        table |= {
            effects.AnnounceOffer: provider.announce,
            effects.ReadFunding: provider.read_funding,
            effects.OpenEscrow: provider.open_escrow,
            effects.FetchInputs: provider.fetch_inputs,
            effects.StartWorkload: provider.start_workload,
            effects.WatchWorkload: provider.watch_workload,
            effects.ReadUsage: provider.read_usage,
            effects.StopWorkload: provider.stop_workload,
            effects.CollectOutputs: provider.collect_outputs,
            effects.RemoveWorkload: provider.remove_workload,
            effects.PushReceipts: provider.push_receipts,
            effects.PushNews: provider.push_news,
            effects.Claim: provider.claim,
        }

    async def perform(effect: Any) -> Change:
        action = table.get(type(effect))
        if action is None:
            raise Permanent("this node is not a provider any more; run it with its [provider] section", code="role")
        return await action(effect)

    return perform
