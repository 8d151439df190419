"""Timeline: what happened to a job, one short line each, for people and programs."""

from __future__ import annotations

from xnode.node.records import TIMELINE_MAX, SubmitterJob, TimelineEntry
from xnode.node.state import Turn


def note(
    turn: Turn, job: SubmitterJob, what: str, detail: str, *pairs: tuple[str, str], **changes: object
) -> SubmitterJob:
    """The job with one more line in its timeline (and these fields changed)."""
    entry = TimelineEntry(turn.at_ns, what, detail, tuple(pairs))
    return turn.put(job, timeline=(*job.timeline, entry)[-TIMELINE_MAX:], **changes)


def note_once(
    turn: Turn, job: SubmitterJob, what: str, detail: str, *pairs: tuple[str, str], of: str = ""
) -> SubmitterJob:
    """The same, unless a line of this kind with these pairs says so already, in its beginning `of` or in all of its text: what is
    tried again and again mostly has the same answer."""
    start = of or detail
    known = any(one.what == what and one.facts == pairs and one.detail.startswith(start) for one in job.timeline)
    return job if known else note(turn, job, what, detail, *pairs)
