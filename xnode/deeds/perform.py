"""Perform: which deed each effect asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from xnode.deeds.provider import ProviderDeeds
from xnode.deeds.submitter import SubmitterDeeds
from xnode.errors import Permanent
from xnode.node import effect as deeds
from xnode.node.change import Change

Deed = Callable[[Any], Awaitable[Change]]


def make_perform(provider: ProviderDeeds | None, submitter: SubmitterDeeds) -> Deed:
    """Does any effect."""
    table: dict[type[Any], Deed] = {
        deeds.SearchOffers: submitter.search,
        deeds.RequestQuote: submitter.request_quote,
        deeds.DropQuote: submitter.drop_quote,
        deeds.ReadFunds: submitter.read_funds,
        deeds.RequestLease: submitter.request_lease,
        deeds.AskLease: submitter.ask_lease,
        deeds.FetchOutputs: submitter.fetch_outputs,
        deeds.StartThaw: submitter.start_thaw,
        deeds.CloseEscrow: submitter.close_escrow,
    }
    if provider is not None:
        table |= {
            deeds.AnnounceOffer: provider.announce,
            deeds.ReadFunding: provider.read_funding,
            deeds.OpenEscrow: provider.open_escrow,
            deeds.FetchInputs: provider.fetch_inputs,
            deeds.StartWorkload: provider.start_workload,
            deeds.WatchWorkload: provider.watch_workload,
            deeds.ReadUsage: provider.read_usage,
            deeds.StopWorkload: provider.stop_workload,
            deeds.CollectOutputs: provider.collect_outputs,
            deeds.RemoveWorkload: provider.remove_workload,
            deeds.PushReceipts: provider.push_receipts,
            deeds.PushNews: provider.push_news,
            deeds.Claim: provider.claim,
        }

    async def perform(effect: Any) -> Change:
        deed = table.get(type(effect))
        if deed is None:
            raise Permanent("this node is not a provider any more; run it with its [provider] section", code="role")
        return await deed(effect)

    return perform
