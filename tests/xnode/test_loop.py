"""The real loop on the real journal: group commit, restart, superseding, deadlines, a full disk, and replay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from sqlalchemy import Engine, select

from metering.codec import decode
from metering.units import NANOS_PER_SECOND, Amount
from scheduler.score import Score
from tests.make.nodes import make_provider_settings, make_started, make_submitter_settings
from tests.make.records import make_running_lease
from tests.make.values import address_of, make_job, make_signed_offer, make_tariff
from xnode.clock import SystemClock
from xnode.errors import Permanent, Retryable
from xnode.logs import log_id_of
from xnode.loop import Loop
from xnode.node import changes, effects
from xnode.node.records import Candidate, Numbers, SubmitterJob
from xnode.node.state import State, Turn, kind_of
from xnode.node.step import step
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal
from xnode.store.schema import JOURNAL

DEADLINE_S = 20

Perform = Callable[[effects.DurableEffect], Awaitable[changes.Change]]


async def never(_effect: effects.DurableEffect) -> changes.Change:
    """An effect that takes forever."""
    await trio.sleep_forever()
    raise AssertionError


class Recorder:
    """Does every effect at once and remembers which."""

    def __init__(self) -> None:
        self.done: list[effects.DurableEffect] = []
        self.news = trio.Event()

    async def __call__(self, effect: effects.DurableEffect) -> changes.Change:
        self.done.append(effect)
        self.news.set()
        self.news = trio.Event()
        return changes.EffectDone()

    async def wait_for(self, holds: Callable[[list[effects.DurableEffect]], bool]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not holds(self.done):
                await self.news.wait()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The store on each database that it knows."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'node.db'}" if sqlite else request.getfixturevalue("postgres").new_database()
    opened = open_database(url)
    yield opened
    opened.dispose()


class JumpingClock:
    """The system's clock, and what a test adds to it: so a process sees that it was stopped."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return self._clock.now_ns() + self.ahead_ns


@asynccontextmanager
async def run_loop(
    engine: Engine,
    perform: Perform,
    journal: Journal | None = None,
    start: changes.NodeStarted | None = None,
    clock: JumpingClock | None = None,
) -> AsyncIterator[Loop]:
    """One life of a node; leaving it is a crash."""
    loop = Loop(journal or Journal(engine), clock or SystemClock(), perform)
    async with trio.open_nursery() as nursery:
        await nursery.start(loop.run, start)
        yield loop
        nursery.cancel_scope.cancel()


async def wait_until(loop: Loop, holds: Callable[[State], bool]) -> None:
    with trio.fail_after(DEADLINE_S):
        while not holds(loop.state):
            await loop.wait_change()


def prices(number: int) -> changes.PricesSet:
    return changes.PricesSet(make_tariff(vcpu_hour=number))


def is_price(number: int) -> Callable[[State], bool]:
    return lambda state: state.settings.provider is not None and state.settings.provider.tariff.vcpu_hour == number


async def submit(loop: Loop, clock_ns: int, number: int) -> effects.Reply:
    job = make_job(submitter=address_of(1), nonce=number.to_bytes(16, "big"))
    return await loop.ask(lambda to: changes.JobSubmitted(to, job), clock_ns)


def deadline(seconds: float = DEADLINE_S) -> int:
    return SystemClock().now_ns() + int(seconds * NANOS_PER_SECOND)


def read_entries(engine: Engine) -> list[changes.Entry]:
    with engine.connect() as connection:
        rows = connection.execute(select(JOURNAL.c.entry).order_by(JOURNAL.c.seq)).all()
    return [decode(row.entry, changes.Entry) for row in rows]


def find_failures(engine: Engine) -> list[tuple[str, str]]:
    found = [entry.change for entry in read_entries(engine)]
    return [(type(one.effect).__name__, one.code) for one in found if isinstance(one, changes.EffectFailed)]


class SlowJournal(Journal):
    """Counts commits; each waits until it is let go."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.batches: list[Batch] = []
        self.may_go = trio.Event()
        self.may_go.set()
        self.is_waiting = trio.Event()

    async def commit(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.is_waiting.set()
        await self.may_go.wait()
        await super().commit(batch)


async def test_changes_that_wait_together_share_one_commit(engine: Engine) -> None:
    journal = SlowJournal(engine)
    async with run_loop(engine, never, journal) as loop:
        await loop.tell(make_started(1, provider=make_provider_settings(1)))
        await wait_until(loop, lambda state: state.settings.provider is not None)
        journal.may_go = trio.Event()
        journal.is_waiting = trio.Event()
        await loop.tell(prices(1))
        with trio.fail_after(DEADLINE_S):
            await journal.is_waiting.wait()
        for number in range(2, 102):
            await loop.tell(prices(number))
        journal.may_go.set()
        await wait_until(loop, is_price(101))
        assert [len(batch.entries) for batch in journal.batches] == [1, 1, 100]
        assert [effect.offer.body.tariff.vcpu_hour for _, effect in journal.batches[-1].effects.values()] == [101]  # type: ignore[union-attr]


async def test_nothing_is_visible_or_answered_before_its_commit(engine: Engine) -> None:
    journal = SlowJournal(engine)
    answers: list[effects.Reply] = []
    recorder = Recorder()

    async def ask(loop: Loop) -> None:
        answers.append(await submit(loop, deadline(), 1))

    async with run_loop(engine, recorder, journal) as loop, trio.open_nursery() as nursery:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        await wait_until(loop, lambda state: state.settings.submitter is not None)
        journal.may_go, journal.is_waiting = trio.Event(), trio.Event()
        nursery.start_soon(ask, loop)
        with trio.fail_after(DEADLINE_S):
            await journal.is_waiting.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert not answers and not recorder.done and not list(loop.state.all(SubmitterJob))
        journal.may_go.set()
        await recorder.wait_for(lambda done: any(isinstance(one, effects.SearchOffers) for one in done))
    assert isinstance(answers[0], effects.ReplyOk)


async def test_a_restart_takes_up_what_was_not_finished(engine: Engine) -> None:
    async with run_loop(engine, never) as loop:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        assert isinstance(await submit(loop, deadline(), 1), effects.ReplyOk)
        before = set(loop.state.records())
    recorder = Recorder()
    async with run_loop(engine, recorder) as loop:
        assert set(loop.state.records()) == before
        await recorder.wait_for(lambda done: [type(one) for one in done] == [effects.SearchOffers])
        await wait_until(loop, lambda state: loop.entries == 1)
    # A node that starts looks for offers anew: what an earlier life has finished must not be what makes it.
    assert (await Journal(engine).load()).effects == (), "a finished effect would be done again"


async def test_a_newer_effect_takes_the_place_of_one_that_is_tried_again(engine: Engine) -> None:
    done: list[int] = []
    fails = True

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        assert isinstance(effect, effects.AnnounceOffer)
        if fails:
            raise Retryable("not now")
        done.append(int(effect.offer.body.tariff.vcpu_hour))
        return changes.EffectDone()

    async with run_loop(engine, perform) as loop:
        await loop.tell(make_started(1, provider=make_provider_settings(1)))
        for number in range(1, 6):
            await loop.tell(prices(number))
            await wait_until(loop, is_price(number))
        fails = False
        entries = loop.entries
        await wait_until(loop, lambda state: loop.entries > entries)
    assert done == [5]
    assert (await Journal(engine).load()).effects == ()


async def test_the_log_lines_of_an_effect_and_its_retries_carry_the_job(engine: Engine) -> None:
    tried: list[dict[str, Any]] = []
    again = trio.Event()

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        tried.append(structlog.contextvars.get_contextvars())
        if len(tried) == 1:
            raise Retryable("not now")
        again.set()
        return await never(effect)

    async with run_loop(engine, perform) as loop:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        reply = await submit(loop, deadline(), 1)
        assert isinstance(reply, effects.ReplyOk)
        with trio.fail_after(DEADLINE_S):
            await again.wait()
    ids = {"job": log_id_of(reply.value)}
    assert tried == [ids, ids]


async def test_a_refused_effect_fails_by_the_code_of_the_refusal(engine: Engine) -> None:
    async def perform(effect: effects.DurableEffect) -> changes.Change:
        raise Permanent("no offers at all", code="no_offers")

    async with run_loop(engine, perform) as loop:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        await submit(loop, deadline(), 1)
        await wait_until(loop, lambda state: any(job.status == "failed" for job in state.all(SubmitterJob)))
        assert next(loop.state.all(SubmitterJob)).end_reason == "no_offers"


def find_one_offer(effect: effects.DurableEffect) -> changes.Change | None:
    """A market of one offer, for a submitter without money; None for any other effect."""
    if isinstance(effect, effects.SearchOffers):
        offer = make_signed_offer(expires_at_ns=deadline(3600))
        candidates = () if effect.tried else (Candidate(offer, 0, Score(0), ""),)
        return changes.OffersRanked(effect.job_hash, 1, candidates, ())
    if isinstance(effect, effects.ReadFunds):
        return changes.FundsRead(effect.job_hash, Amount(0), Amount(0))
    return None


async def test_why_an_effect_failed_is_kept_when_its_deadline_cuts_the_next_try_off(engine: Engine) -> None:
    settings = make_submitter_settings(quote_wait_ns=NANOS_PER_SECOND // 2)
    tried: list[effects.DurableEffect] = []

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        if (found := find_one_offer(effect)) is not None:
            return found
        tried.append(effect)
        if len(tried) == 1:
            raise Retryable("the way to the peer is closed")
        return await never(effect)

    async with run_loop(engine, perform) as loop:
        await loop.tell(make_started(1, submitter=settings))
        await submit(loop, deadline(), 1)
        await wait_until(loop, lambda state: bool(find_failures(engine)))
    found = [entry.change for entry in read_entries(engine)]
    said = [one.detail for one in found if isinstance(one, changes.EffectFailed)]
    assert len(tried) > 1 and said == ["the way to the peer is closed"]


async def test_an_effect_that_never_ends_is_given_up_at_its_deadline(engine: Engine) -> None:
    settings = make_submitter_settings(quote_wait_ns=NANOS_PER_SECOND // 5, capacity_wait_ns=1)

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        if (found := find_one_offer(effect)) is not None:
            return found
        return await never(effect)

    async with run_loop(engine, perform) as loop:
        await loop.tell(make_started(1, submitter=settings))
        await submit(loop, deadline(), 1)
        await wait_until(loop, lambda state: any(job.status == "failed" for job in state.all(SubmitterJob)))
        assert next(loop.state.all(SubmitterJob)).end_reason == "no_quote"
        await wait_until(loop, lambda state: bool(find_failures(engine)))
        assert set(find_failures(engine)) == {("RequestQuote", "deadline")}
        assert (await Journal(engine).load()).effects == ()


class FullJournal(Journal):
    """A disk without room."""

    is_full = False
    refused = 0

    async def commit(self, batch: Batch) -> None:
        if self.is_full:
            self.refused += 1
            raise Retryable("database: disk is full")
        await super().commit(batch)


async def test_a_full_disk_acknowledges_nothing_and_loses_nothing(engine: Engine) -> None:
    journal = FullJournal(engine)
    recorder = Recorder()
    async with run_loop(engine, recorder, journal) as loop:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        await wait_until(loop, lambda state: state.settings.submitter is not None)
        journal.is_full = True
        with pytest.raises(Retryable):
            await submit(loop, deadline(0.4), 1)
        assert journal.refused and not recorder.done and not list(loop.state.all(SubmitterJob))
        assert loop.problem == "database: disk is full"
        journal.is_full = False
        assert isinstance(await submit(loop, deadline(), 1), effects.ReplyOk)
        assert len(list(loop.state.all(SubmitterJob))) == 1
        assert not loop.problem


async def test_a_question_that_changes_nothing_leaves_no_trace(engine: Engine) -> None:
    async with run_loop(engine, never) as loop:
        await loop.tell(make_started(1, submitter=make_submitter_settings()))
        await wait_until(loop, lambda state: state.settings.submitter is not None)
        entries = loop.entries
        reply = await loop.ask(lambda to: changes.LeaseAsked(to, address_of(9), bytes(32)), deadline())  # type: ignore[arg-type]
        assert isinstance(reply, effects.ReplyRefusal)
        assert loop.entries == entries


async def test_an_alarm_rings_after_a_restart_too(engine: Engine) -> None:
    settings = make_provider_settings(1, offer_ttl_ns=NANOS_PER_SECOND)
    async with run_loop(engine, Recorder()) as loop:
        await loop.tell(make_started(1, provider=settings))
        await wait_until(loop, lambda state: state.standing_offer.number > 0)
        first = loop.state.standing_offer.number
    async with run_loop(engine, Recorder()) as loop:
        await wait_until(loop, lambda state: state.numbers.offer > first)


async def lease_to_others(engine: Engine) -> None:
    """A running lease in the store, whose alarm is due."""
    at_ns = SystemClock().now_ns()
    turn, batch = Turn(State(), at_ns, bytes(32)), Batch()
    lease = turn.put(make_running_lease(), covered_at_ns=at_ns, wake_at_ns=at_ns + NANOS_PER_SECOND)
    loaded = await Journal(engine).load()
    batch.add(loaded.seq, changes.Entry(at_ns, bytes(32), changes.Woke("provider_lease", lease.key)), turn)
    await Journal(engine).commit(batch)


async def test_a_change_that_hits_a_bug_costs_only_itself(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(state: State, entry: changes.Entry) -> Turn:
        if entry.change == prices(13):
            raise ValueError("13")
        return step(state, entry)

    monkeypatch.setattr("xnode.loop.step", stumble)
    async with run_loop(engine, never, start=make_started(1, provider=make_provider_settings(1))) as loop:
        await loop.tell(prices(13))
        await loop.tell(prices(14))
        await wait_until(loop, is_price(14))
    assert [type(entry.change).__name__ for entry in read_entries(engine)] == ["NodeStarted", "PricesSet"]


def stumble_over(monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[changes.Change], bool]) -> list[changes.Change]:
    """The core has a bug: it raises for such changes. Gives those that it met."""
    met: list[changes.Change] = []

    def stumble(state: State, entry: changes.Entry) -> Turn:
        if is_bad(entry.change):
            met.append(entry.change)
            raise ValueError("a bug")
        return step(state, entry)

    monkeypatch.setattr("xnode.loop.step", stumble)
    return met


def capture_loop_logs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the loop logs, whatever other tests have set for all."""
    capture, every = structlog.testing.LogCapture(), structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr("xnode.loop.log", structlog.wrap_logger(None, [capture], every))
    return capture.entries


async def test_what_the_store_cannot_hold_is_refused_with_the_reason_and_the_others_are_kept(engine: Engine) -> None:
    start = make_started(1, provider=make_provider_settings(1), submitter=make_submitter_settings())
    async with run_loop(engine, never, start=start) as loop:
        job = make_job(submitter=address_of(1))
        for into in ("\ud800", "x"):
            reply = await loop.ask(lambda to: changes.JobSubmitted(to, job, into=into), deadline())  # noqa: B023
            if into == "x":
                assert isinstance(reply, effects.ReplyOk)
            else:
                assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "not_kept"
                assert "surrogates not allowed" in reply.refusal.detail and not list(loop.state.all(SubmitterJob))
        assert loop.left_out == 1
    assert [type(entry.change).__name__ for entry in read_entries(engine)] == ["NodeStarted", "JobSubmitted"]


async def test_what_could_not_be_read_again_is_refused_before_it_is_stored(engine: Engine) -> None:
    start = make_started(1, provider=make_provider_settings(1))
    async with run_loop(engine, never, start=start) as loop:
        await loop.tell(changes.AddressesChanged(("/ip4/1.2.3.4/tcp/1",) * 17))
        await loop.tell(prices(14))
        await wait_until(loop, is_price(14))
        assert loop.left_out == 1
    async with run_loop(engine, never) as loop:
        assert is_price(14)(loop.state)


async def test_a_start_that_cannot_be_taken_ends_the_node(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stumble_over(monkeypatch, lambda change: isinstance(change, changes.NodeStarted))
    loop = Loop(Journal(engine), SystemClock(), never)
    with pytest.raises(ExceptionGroup) as raised:
        await loop.run(make_started(1))
    assert raised.group_contains(ValueError, match="a bug")


async def test_an_effect_whose_result_hits_a_bug_is_done_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    met = stumble_over(monkeypatch, lambda change: isinstance(change, changes.EffectDone) and len(met) < 2)
    recorder = Recorder()
    async with run_loop(engine, recorder, start=make_started(1, provider=make_provider_settings(1))) as loop:
        await recorder.wait_for(lambda done: len(done) == 3)
        await wait_until(loop, lambda state: loop.entries == 2)
    assert [type(entry.change).__name__ for entry in read_entries(engine)] == ["NodeStarted", "EffectDone"]
    assert (await Journal(engine).load()).effects == ()


async def test_an_effect_whose_result_is_never_taken_counts_as_failed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = stumble_over(monkeypatch, lambda change: isinstance(change, changes.EffectDone))
    recorder = Recorder()
    logs = capture_loop_logs(monkeypatch)
    async with run_loop(engine, recorder, start=make_started(1, provider=make_provider_settings(1))) as loop:
        await wait_until(loop, lambda state: loop.entries == 2)
    assert len(recorder.done) == len(met) == 4
    assert find_failures(engine) == [("AnnounceOffer", "internal")]
    assert (await Journal(engine).load()).effects == ()
    assert [line["change"] for line in logs if line["event"] == "a change is left out"] == ["EffectDone"]


async def test_an_effect_of_which_nothing_is_taken_stays_on_the_list(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = (changes.EffectDone, changes.EffectFailed)
    met = stumble_over(monkeypatch, lambda change: isinstance(change, results))
    recorder = Recorder()
    async with run_loop(engine, recorder, start=make_started(1, provider=make_provider_settings(1))):
        await recorder.wait_for(lambda done: len(done) == 6)
    assert changes.EffectFailed in map(type, met)
    assert [type(effect) for _, effect in (await Journal(engine).load()).effects] == [effects.AnnounceOffer]


async def test_a_newer_effect_is_not_undone_by_an_older_one_whose_result_hit_a_bug(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SlowJournal(engine)
    stumble_over(monkeypatch, lambda change: isinstance(change, changes.EffectDone))
    recorder = Recorder()
    async with run_loop(engine, recorder, journal, make_started(1, provider=make_provider_settings(1))) as loop:
        await loop.tell(prices(7))
        await wait_until(loop, is_price(7))
        await wait_until(loop, lambda state: bool(find_failures(engine)))
    announced = [one.offer.body.tariff.vcpu_hour for one in recorder.done if isinstance(one, effects.AnnounceOffer)]
    assert announced[-3:] == [7, 7, 7]


async def test_a_record_whose_alarm_hits_a_bug_is_woken_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnode.loop.WAKE_AGAIN_NS", 1)
    met = stumble_over(monkeypatch, lambda change: isinstance(change, changes.Woke) and len(met) < 3)
    settings = make_provider_settings(1, offer_ttl_ns=NANOS_PER_SECOND // 5)
    async with run_loop(engine, Recorder(), start=make_started(1, provider=settings)) as loop:
        await wait_until(loop, lambda state: state.standing_offer.number > 0)
        first = loop.state.standing_offer.number
        await wait_until(loop, lambda state: state.standing_offer.number > first)
    assert len(met) == 3


async def test_a_stranger_who_finds_a_bug_does_not_fill_the_log(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stumble_over(monkeypatch, lambda change: change == prices(13))
    logs = capture_loop_logs(monkeypatch)
    async with run_loop(engine, never, start=make_started(1, provider=make_provider_settings(1))) as loop:
        for _ in range(500):
            await loop.tell(prices(13))
        await loop.tell(prices(14))
        await wait_until(loop, is_price(14))
    assert loop.left_out == 500
    assert len([line for line in logs if line["event"] == "a change is left out"]) == 1


async def test_no_alarm_is_judged_before_the_start_is_durable(engine: Engine) -> None:
    settings = make_provider_settings(1, offer_ttl_ns=NANOS_PER_SECOND)
    async with run_loop(engine, Recorder(), start=make_started(1, provider=settings)) as loop:
        await wait_until(loop, lambda state: state.standing_offer.number > 0)
    await lease_to_others(engine)
    before = len(read_entries(engine))
    clock = JumpingClock()
    clock.ahead_ns = 3600 * NANOS_PER_SECOND
    async with run_loop(engine, never, start=make_started(1, provider=settings), clock=clock) as loop:
        await wait_until(loop, lambda state: loop.entries > 2)
    started, *others = (one.change for one in read_entries(engine)[before:])
    assert isinstance(started, changes.NodeStarted) and 3590 < started.away_ns / NANOS_PER_SECOND < 3610
    assert any(isinstance(change, changes.Woke) for change in others), "what was due is still looked at"


async def test_an_effect_keeps_the_time_it_had_left_when_we_were_away(engine: Engine) -> None:
    for clock in (None, JumpingClock()):
        tried = trio.Event()

        async def perform(effect: effects.DurableEffect, tried: trio.Event = tried) -> changes.Change:
            tried.set()
            return await never(effect)

        start = make_started(1, submitter=make_submitter_settings())
        if clock is not None:
            clock.ahead_ns = 3600 * NANOS_PER_SECOND
        async with run_loop(engine, perform, start=start, clock=clock) as loop:
            if clock is None:
                await submit(loop, deadline(), 1)
                await lease_to_others(engine)
            with trio.fail_after(DEADLINE_S):
                await tried.wait()
            if clock is not None:
                # Stopped once more, in the middle of it.
                clock.ahead_ns *= 2
                await wait_until(loop, lambda state: any(_find_absences(engine)))
                await trio.testing.wait_all_tasks_blocked()
    assert find_failures(engine) == [], "nobody answered in the hours in which nobody was asked"


def _find_absences(engine: Engine) -> list[int]:
    found = [entry.change for entry in read_entries(engine)]
    return [one.away_ns for one in found if isinstance(one, changes.NodeResumed)]


async def test_an_absence_is_noted_before_what_waits_and_only_then(engine: Engine) -> None:
    await lease_to_others(engine)
    before = len(read_entries(engine))
    clock = JumpingClock()
    async with run_loop(engine, never, start=make_started(1, provider=make_provider_settings(1)), clock=clock) as loop:
        await loop.tell(prices(1))
        await wait_until(loop, is_price(1))
        clock.ahead_ns += 20 * NANOS_PER_SECOND
        await loop.tell(prices(2))
        await wait_until(loop, is_price(2))
    kinds = [type(entry.change).__name__ for entry in read_entries(engine)[before:]]
    assert [kind for kind in kinds if kind != "Woke"] == ["NodeStarted", "PricesSet", "NodeResumed", "PricesSet"]
    (away_ns,) = _find_absences(engine)
    assert 20 <= away_ns / NANOS_PER_SECOND < 22


async def test_a_loop_that_waited_for_its_disk_was_away(engine: Engine) -> None:
    await lease_to_others(engine)
    before = len(read_entries(engine))
    journal, clock = SlowJournal(engine), JumpingClock()
    start = make_started(1, provider=make_provider_settings(1))
    async with run_loop(engine, never, journal, start, clock) as loop:
        await wait_until(loop, lambda state: state.settings.provider is not None)
        journal.may_go, journal.is_waiting = trio.Event(), trio.Event()
        await loop.tell(prices(1))
        with trio.fail_after(DEADLINE_S):
            await journal.is_waiting.wait()
        clock.ahead_ns += 60 * NANOS_PER_SECOND
        await loop.tell(prices(2))
        journal.may_go.set()
        await wait_until(loop, is_price(2))
    kinds = [type(entry.change).__name__ for entry in read_entries(engine)[before:]]
    assert [kind for kind in kinds if kind != "Woke"] == ["NodeStarted", "PricesSet", "NodeResumed", "PricesSet"]


async def test_the_journal_stepped_from_the_start_gives_the_stored_records(engine: Engine) -> None:
    async with run_loop(engine, Recorder()) as loop:
        await loop.tell(make_started(1, provider=make_provider_settings(1), submitter=make_submitter_settings()))
        for number in range(50):
            await loop.tell(prices(number))
            await submit(loop, deadline(), number)
        await wait_until(loop, is_price(49))
    state = State()
    for entry in read_entries(engine):
        state = step(state, entry).state
    stored = (await Journal(engine).load()).records
    assert {(kind_of(type(one)), one.key): one for one in state.records()} == {
        (kind_of(type(one)), one.key): one for one in stored
    }
    assert state.get(Numbers, b"") is not None and len(list(state.all(SubmitterJob))) == 50
