"""Answers: the form of what each control method gives back: another version's daemon, or no daemon at all, is known by it."""

from __future__ import annotations

from typing import Any

import msgspec

from xnode.control import views

FORMS: dict[str, Any] = {
    "config.diff": list[views.DifferenceRow],
    "config.reload": list[views.DifferenceRow],
    "image.import": views.ImageRow,
    "image.list": list[views.ImageRow],
    "image.remove": views.ImageRow,
    "job.events": views.TimelineEntry,
    "job.evidence": views.Document,
    "job.fetch": views.FetchStep,
    "job.list": views.JobPage,
    "job.logs": views.LogPiece,
    "job.outputs": views.OutputRow,
    "job.plan": views.PlanView,
    "job.receipts": views.ReceiptRow,
    "job.show": views.JobDetail,
    "job.stop": views.JobDetail,
    "job.submit": views.JobId,
    "job.wait": views.JobDetail,
    "net.restart": bool,
    "node.status": views.NodeStatus,
    "node.stop": bool,
    "node.stop_notice": views.StopNotice,
    "node.work": list[views.WorkRow],
    "offer.contradictions": list[views.Document],
    "offer.list": views.OfferRow,
    "provider.documents": views.Document,
    "provider.earnings": views.EarningsView,
    "provider.drain": views.DrainView,
    "provider.evidence": views.Document,
    "provider.leases": views.LeasePage,
    "provider.resume": views.DrainView,
    "provider.running": views.DrainView,
    "provider.set_price": views.Prices,
    "provider.status": views.ProviderStatus,
}
"""What a method gives, or each item of one that streams; a test compares it with the methods themselves."""


def find_misfit(method: str, answer: Any) -> str:
    """How an answer differs from its method's form, "" when it does not; fields that we do not know are no difference."""
    form = FORMS.get(method)
    if form is None:
        return ""
    try:
        msgspec.convert(answer, form)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
