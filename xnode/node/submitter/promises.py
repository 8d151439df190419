"""Promises: what a provider owes a job in each of its states, until when by our own clock, and what follows: one table."""

from __future__ import annotations

from typing import NamedTuple

from metering.units import NANOS_PER_SECOND
from xnode.node.submitter.clocks import COLLECT_BYTES, COLLECT_NS, END_SLACK_NS, START_NS, STOP_NS
from xnode.node.submitter.job import ANSWER_NS, HASTY_WAIT_NS, LEASE_WAIT_NS
from xnode.node.submitter.lease import FORGOTTEN
from xnode.node.submitter.money import SETTLE_WAIT_NS
from xnode.node.submitter.outputs import FETCH_NS, MAX_VAIN_TRIES
from xnode.node.submitter.seek import CHAIN_PATIENCE_NS, SEARCH_WAIT_NS


class Promise(NamedTuple):
    """One line of the table: in which states something is owed, what, until when, and what follows when that has passed."""

    job: str
    lease: str
    owed: str
    until: str
    then: str


def _s(duration_ns: int) -> str:
    return f"{duration_ns / NANOS_PER_SECOND:g} s"


PROMISES = (
    Promise(
        "searching", "", "offers that fit (our own book and chain node)",
        f"{_s(SEARCH_WAIT_NS)} a search; `submitter.capacity_wait` for those that are busy or silent; "
        f"{_s(CHAIN_PATIENCE_NS)} for our chain node",
        "searched again, then the job ends with what each provider said last",
    ),
    Promise(
        "quoting", "", "a quote", "3 s; as above for our chain node",
        "chosen among those who answered; who did not is passed over, and waited for like a busy one when none is left",
    ),
    Promise(
        "leasing", "requested", "the countersignature",
        f"{_s(HASTY_WAIT_NS)} where another quote is at hand, else {_s(LEASE_WAIT_NS + ANSWER_NS)}",
        "it is told to stop, and the next quote is taken; that is none of the job's tries",
    ),
    Promise(
        "running", "preparing", "a workload that runs", _s(START_NS),
        "`provider_late`: it is told to stop, nothing more is signed, and the job goes to another provider",
    ),
    Promise(
        "running", "running", "its end",
        f"the time limit, a twentieth of it, the job's grace and {_s(END_SLACK_NS)}; after our order to stop the grace and "
        f"{_s(STOP_NS)}",
        "`provider_late`: the job ends, and the rest of the escrow is taken back",
    ),
    Promise(
        "running", "each open one", "some word",
        f"`submitter.silence`; {FORGOTTEN} times that while its node talks of other leases",
        "`provider_lost`: as `provider_late`",
    ),
    Promise(
        "running", "settling, settled", "what the workload left",
        f"{_s(COLLECT_NS)} and a second for each {COLLECT_BYTES >> 20} MiB of the lease's disk, at most a day",
        "`outputs_lost`",
    ),
    Promise(
        "fetching", "each", "the outputs", f"{_s(FETCH_NS)} and a second for each MiB; {MAX_VAIN_TRIES} tries that bring nothing",
        "the job ends half-fetched; `xnode job cp` goes on",
    ),
    Promise(
        "any", "settling", "a claim, and the rest released", _s(SETTLE_WAIT_NS),
        "the rest of the escrow is taken back by thaw, at the chain's own time",
    ),
)  # fmt: skip


def make_promises_table() -> str:
    """The promises as a Markdown table, as docs/protocol.md shows it."""
    heads = ("job", "its lease", "owed", "until", "then")
    rows = [heads, tuple("---" for _ in heads), *PROMISES]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
