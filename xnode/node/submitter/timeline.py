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


def note_news(turn: Turn, job: SubmitterJob, what: str, detail: str, *pairs: tuple[str, str]) -> SubmitterJob:
    """The same, unless the last line of this kind says so already: a search that is made again finds mostly the same."""
    last = next((one for one in reversed(job.timeline) if one.what == what), None)
    return job if last is not None and last.detail == detail else note(turn, job, what, detail, *pairs)
