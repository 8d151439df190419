"""Match: the choice of one quote among the answers; a choice binds no party."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from metering.money_words import say_amount
from metering.refusal import Refusal
from metering.units import Address, Amount, Hash32
from scheduler.feasible import cost_limit_of, exposure_limit_of
from scheduler.job import Job
from scheduler.preferences import Preferences
from scheduler.quote import SignedQuote, check_quote
from scheduler.score import NEAR_BEST_PERCENT, Parts, Scored, near_limit_of, rank, score_parts_of


@dataclass(frozen=True, slots=True)
class Answers:
    """Quotes that hold for a job, and the others with what is wrong with them."""

    good: tuple[SignedQuote, ...]
    refused: tuple[tuple[Address, Refusal], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a ranking. rtt_us: expected round trip; cost_limit: the most the job can cost there."""

    node: Address
    score: int
    parts: Parts
    cost_limit: Amount
    rtt_us: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen quote, why, and all the others in order."""

    quote: SignedQuote
    reason: str
    ranking: tuple[Row, ...]


def sort_answers(quotes: Iterable[SignedQuote], job: Job, separator: Hash32, now_ns: int) -> Answers:
    """Which quotes hold. A node that answers twice is taken at its last word: only the highest number counts."""
    newest: dict[Address, SignedQuote] = {}
    good: dict[Address, SignedQuote] = {}
    refused: list[tuple[Address, Refusal]] = []
    for signed in quotes:
        last = newest.get(signed.quote.node)
        if last is None or signed.quote.number > last.quote.number:
            newest[signed.quote.node] = signed
    for node, signed in newest.items():
        refusal = check_quote(signed, job, separator, now_ns) or _check_promise(signed, job)
        if refusal:
            refused.append((node, refusal))
        else:
            good[node] = signed
    return Answers(tuple(good.values()), tuple(refused))


class Standing(Protocol):
    """An offer in a ranking. silent: its node did not answer the last time."""

    @property
    def node(self) -> Address: ...

    @property
    def score(self) -> int: ...

    @property
    def silent(self) -> bool: ...


S = TypeVar("S", bound=Standing)


def spread(ranked: Sequence[S], load: Mapping[Address, int], count: int) -> tuple[S, ...]:
    """The few to ask, of those ranked: of the ones near the best those with the least to do for us, or many jobs at once would
    all go to the same few; one that was silent comes last."""
    heard = [one for one in ranked if not one.silent] or list(ranked)
    limit = near_limit_of(min((one.score for one in heard), default=0))
    near = sorted((one for one in heard if one.score <= limit), key=lambda one: load.get(one.node, 0))
    rest = [one for one in heard if one.score > limit]
    return (*near, *rest, *(one for one in ranked if one.silent and one not in heard))[:count]


def choose(answers: Answers, job: Job, preferences: Preferences, now_ns: int, entropy: bytes) -> Choice | None:
    """The best good quote, or one of those near it, drawn by the entropy; None when none is good."""
    scored = []
    for signed in answers.good:
        parts = score_parts_of(job, signed.quote.node, signed.quote.body.tariff, preferences, now_ns)
        scored.append(Scored(signed, signed.quote.node, parts.total, parts))
    ranked = rank(scored, entropy, preferences.load)
    if not ranked:
        return None
    ranking = tuple(_make_row(one, preferences) for one in ranked)
    return Choice(ranked[0].subject, _make_reason(ranked, answers, preferences), ranking)


def _check_promise(signed: SignedQuote, job: Job) -> Refusal | None:
    body = signed.quote.body
    if not job.network and (body.tariff.ingress_gb or body.tariff.egress_gb):
        return Refusal("quote_network_price", f"quote {signed.quote.number} prices network that the job does not use")
    # A limit below what the tariff comes to would stop the job before its time.
    needed = cost_limit_of(job, body.tariff)
    if body.cost_limit < needed:
        return Refusal(
            "quote_cost_limit",
            f"quote {signed.quote.number} stops at {say_amount(body.cost_limit, body.asset)},"
            f" the job may need {say_amount(needed, body.asset)}",
        )
    # Below this an honest job would be stopped; above it the intervals would not be the limit of what we may owe.
    unpaid = exposure_limit_of(job, body.tariff, body.interval_ns, body.exposure_intervals)
    if body.exposure_limit != unpaid:
        return Refusal(
            "quote_exposure_limit",
            f"quote {signed.quote.number} lets {say_amount(body.exposure_limit, body.asset)} go unpaid,"
            f" its intervals come to {say_amount(unpaid, body.asset)}",
        )
    return None


def _make_row(one: Scored[SignedQuote], preferences: Preferences) -> Row:
    return Row(one.node, one.score, one.parts, one.subject.quote.body.cost_limit, preferences.rtt_us(one.node))


def _make_reason(ranked: tuple[Scored[SignedQuote], ...], answers: Answers, preferences: Preferences) -> str:
    chosen, least = ranked[0], min(one.score for one in ranked)
    limit = near_limit_of(least)
    near = sum(1 for one in ranked if one.score <= limit)
    if len(ranked) == 1:
        why = "the only quote that holds"
    elif near == 1:
        why = f"the best of {len(ranked)} quotes"
    else:
        why = f"one of {near} within {NEAR_BEST_PERCENT} % of the best, drawn at random, of {len(ranked)} quotes"
    text = f"{why}: {chosen.parts.describe()}; round trip {preferences.rtt_us(chosen.node) / 1000:.1f} ms"
    return text + (f"; {len(answers.refused)} refused" if answers.refused else "")
