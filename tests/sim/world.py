"""World: a whole market in one process, under one seed, in virtual time, with its invariants checked after every event."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import structlog
from msgspec.structs import replace

from metering.units import NANOS_PER_SECOND, Hash32
from scheduler.job import Image, Job, job_hash_of
from tests.make.nodes import (
    OWNER,
    PAYER,
    make_provider_settings,
    make_submitter_settings,
    read_provider_defaults,
    read_submitter_defaults,
)
from tests.make.values import (
    DOMAIN,
    NOW_NS,
    SEPARATOR,
    TOKEN,
    address_of,
    make_job,
    make_key,
)
from tests.sim.chain import Chain, ChainPort, Wallet
from tests.sim.clockwork import Clockwork
from tests.sim.containers import Behaviour, Containers
from tests.sim.disk import Disk
from tests.sim.guard import Guard, check_clocks, check_exposure
from tests.sim.ledger import Ledger
from tests.sim.machine import Faults, KeySigner, Machine
from tests.sim.market import SimMarket
from tests.sim.network import NetPort, Network
from xnode.node import effects
from xnode.node.changes import Entry, JobStopRequested, JobSubmitted
from xnode.node.records import ProviderLease, ProviderSettings, SubmitterJob, SubmitterLease, SubmitterSettings
from xnode.node.state import State, Turn
from xnode.ports.runtime import WorkloadSpec

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class World:
    """A market. Everything in it happens in `clockwork`."""

    def __init__(self, seed: int = 0, deposit: int = 100 * TOKEN) -> None:
        self.seed = seed
        self.entropy = random.Random(seed)
        self.clockwork = Clockwork(NOW_NS)
        self.ledger = Ledger(SEPARATOR)
        self.guard = Guard(DOMAIN, self.ledger)
        self.ledger.on_change = self.guard.on_chain
        self.chain = Chain(self.clockwork, self.ledger)
        self.network = Network(self.clockwork, self.entropy)
        self.market = SimMarket(self.clockwork, self.entropy, SEPARATOR, {})
        self.machines: dict[int, Machine] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.jobs: list[tuple[int, Job]] = []
        self.make_disk: Callable[[int], Disk] = lambda _number: Disk()
        self.payer = address_of(PAYER)
        if deposit:
            self.ledger.deposit(self.payer, deposit)
        self.clockwork.after_each = self._check
        self.watches_clocks = False
        self.chain.run()

    # ------------------------------------------------------------------------------------------------------- who is there

    def add_provider(self, number: int = 1, **changes: Any) -> Machine:
        """A provider's node under key `number`."""
        return self._add(number, make_provider_settings(number, **changes), None)

    def add_submitter(self, number: int = 0, **changes: Any) -> Machine:
        """A submitter's node under key `number`, which may open escrows for the payer."""
        self.ledger.caps[self.payer, address_of(number)] = 1000 * TOKEN
        return self._add(number, None, make_submitter_settings(**changes))

    def _add(self, number: int, provider: ProviderSettings | None, submitter: SubmitterSettings | None) -> Machine:
        address = address_of(number)
        account = provider.owner if provider else address
        containers = Containers(self.clockwork, self._find_behaviour, lambda lease: self.guard.on_start(address, lease))
        machine = Machine(
            clockwork=self.clockwork,
            entropy=self.entropy,
            signer=KeySigner(make_key(number), SEPARATOR, lambda *signed: self._on_sign(number, *signed)),
            net=NetPort(self.network, address),
            chain=ChainPort(self.chain, Wallet(self.chain, account), account),
            market=self.market,
            containers=containers,
            provider=provider,
            submitter=submitter,
            on_turn_of=self._on_turn,
            on_commit_of=lambda which, batch: self.guard.on_commit(which.address, batch),
            disk=self.make_disk(number),
            faults=Faults(),
        )
        self.machines[number] = machine
        machine.start()
        return machine

    # --------------------------------------------------------------------------------------------------------- what it does

    def submit(
        self,
        submitter: int = 0,
        behaviour: Behaviour | None = None,
        into: str = "",
        only: tuple[str, ...] = (),
        **changes: Any,
    ) -> Hash32:
        """Submit a job; gives its hash."""
        nonce = self.entropy.randbytes(16)
        name = f"job-{len(self.jobs)}"
        image = Image("sha256:" + f"{len(self.jobs):064x}", 10_000_000, reference=name)
        fields = {"name": name, "submitter": address_of(submitter), "nonce": nonce, "image": image} | changes
        job = make_job(**fields)
        self.behaviours[name] = behaviour or Behaviour()
        self.jobs.append((submitter, job))
        self._keep_telling(submitter, JobSubmitted("", job, into, only))
        return job_hash_of(job)

    def stop(self, job_hash: Hash32, submitter: int = 0) -> None:
        """Stop a job."""
        self._keep_telling(submitter, JobStopRequested("", job_hash))

    def _keep_telling(self, number: int, change: JobSubmitted | JobStopRequested) -> None:
        """A person types it again until the node has answered."""
        machine = self.machines[number]
        answered = False

        def make(reply_to: str) -> JobSubmitted | JobStopRequested:
            if isinstance(change, JobSubmitted):
                return replace(change, reply_to=reply_to)
            return JobStopRequested(reply_to, change.job_hash)

        async def ask() -> None:
            nonlocal answered
            assert machine.loop is not None
            reply = await machine.loop.ask(make, machine.now_ns() + NANOS_PER_SECOND)
            answered = isinstance(reply, effects.ReplyOk)

        def again() -> None:
            if not answered:
                if machine.is_up:
                    machine.spawn(ask())
                self.clockwork.at(self.clockwork.now_ns + 2 * NANOS_PER_SECOND, again)

        again()

    def pause(self, number: int, seconds: float) -> None:
        """The node does not run for so long (SIGSTOP, a swapping host): its timers are late, its messages wait."""
        self.machines[number].pause(round(seconds * NANOS_PER_SECOND))

    def suspend(self, number: int, seconds: float) -> None:
        """The node's whole host does not run for so long (a lid, a virtual machine's pause); its clock goes on."""
        self.machines[number].pause(round(seconds * NANOS_PER_SECOND), with_host=True)

    def step_clock(self, number: int, seconds: float) -> None:
        """The clock of the node's host jumps, forth or back."""
        self.machines[number].step_clock(round(seconds * NANOS_PER_SECOND))

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.clockwork.run_until(lambda: False, self.clockwork.now_ns + int(seconds * NANOS_PER_SECOND))

    def run_until(self, is_reached: Any, seconds: float = 3600) -> None:
        """Let time pass until this holds; it must hold before the limit."""
        reached = self.clockwork.run_until(is_reached, self.clockwork.now_ns + int(seconds * NANOS_PER_SECOND))
        assert reached, f"not reached within {seconds} s: {self.describe()}"

    def run_until_settled(self, seconds: float = 3600) -> None:
        """Let time pass until every job has ended and every lease is settled, then check that all is well."""
        self.run_until(self.is_settled, seconds)
        self.run_for(30)
        self.check_end()

    def wait_running(self, number: int = 1) -> ProviderLease:
        """Let time pass until a lease runs at this provider; gives the lease."""
        self.run_until(lambda: any(one.status == "running" for one in self.leases(number)), 60)
        found: ProviderLease = next(one for one in self.leases(number) if one.status == "running")
        return found

    # ------------------------------------------------------------------------------------------------------- what is the case

    def paid_to(self, number: int) -> int:
        """What the owner of this provider's node got on chain."""
        return self.ledger.paid.get(address_of(OWNER + number), 0)

    def job(self, job_hash: Hash32, submitter: int = 0) -> SubmitterJob:
        """The submitter's record of the job."""
        found = self._find_job(submitter, job_hash)
        assert found is not None
        return found

    def _find_job(self, submitter: int, job_hash: Hash32) -> SubmitterJob | None:
        machine = self.machines[submitter]
        live = machine.loop.state.get(SubmitterJob, job_hash) if machine.loop else None
        return live or (machine.disk.find(SubmitterJob, job_hash) if machine.loop else None)

    def leases(self, number: int) -> list[Any]:
        """All leases of a node, of either side."""
        loop = self.machines[number].loop
        if loop is None:
            return []
        return [*loop.state.all(ProviderLease), *loop.state.all(SubmitterLease)]

    def is_settled(self) -> bool:
        """Every node is up (or dead), every job has its end, every lease is settled or refused."""
        for machine in self.machines.values():
            if not machine.is_up and not machine.is_dead:
                return False
        for submitter, job in self.jobs:
            found = self._find_job(submitter, job_hash_of(job))
            if found is None or found.status not in ("done", "half-fetched", "failed", "stopped"):
                return False
        leases = [lease for number in self.machines for lease in self.leases(number)]
        held = sum(one.deposited - one.claimed for one in self.ledger.escrows.values())
        return not held and all(lease.status in ("settled", "refused") for lease in leases)

    def check_end(self) -> None:
        """Once faults have stopped and all is settled: nothing is left anywhere, and the money is where it belongs."""
        for machine in self.machines.values():
            if not machine.is_dead:
                assert not machine.containers.workloads, "a workload is left on a host"
                machine.disk.check_replay()
        claimed = sum(funds.claimed for funds in self.ledger.escrows.values())
        assert self.ledger.free[self.payer] == self.ledger.deposited - claimed, "money is left in an escrow"
        for number in self.machines:
            for lease in self.leases(number):
                assert lease.end_reason or lease.refusal, "a lease has ended without a reason"

    def describe(self) -> str:
        """One line a node and job, for a failed test."""
        lines = [f"seed {self.seed}, {(self.clockwork.now_ns - NOW_NS) / 1e9:.3f} s, {self.clockwork.events} events"]
        for number in self.machines:
            texts = (
                f"{type(one).__name__} {one.status} {one.end_reason or one.refusal}" for one in self.leases(number)
            )
            lines.append(f"node {number}: " + "; ".join(texts))
        for submitter, job in self.jobs:
            found = self._find_job(submitter, job_hash_of(job))
            lines.append(f"{job.name}: {found.status} {found.end_reason} {found.end_detail}" if found else job.name)
        lines += [f"escrow {key.hex()[:8]} {funds}" for key, funds in self.ledger.escrows.items()]
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------------------- checks

    def _find_behaviour(self, subject: WorkloadSpec | Image) -> Behaviour:
        image = subject if isinstance(subject, Image) else subject.image
        return self.behaviours[image.reference]

    def _on_sign(self, number: int, type_name: str, value: object, signature: bytes) -> None:
        machine = self.machines[number]
        served = machine.containers.served
        self.guard.on_sign(machine.address, machine.alter is None, type_name, value, signature, served)

    def _on_turn(self, _machine: Machine, before: State, _entry: Entry, turn: Turn) -> None:
        self.guard.on_turn(before, turn)

    def _check(self) -> None:
        """After every event: no provider works unpaid for longer than agreed."""
        for machine in self.machines.values():
            if self.watches_clocks and machine.loop is not None and not machine.loop.is_busy:
                check_clocks(machine.loop.state, machine.loop.effects_under_way())
            if machine.loop is None or machine.disk.is_full or machine.clock.is_paused:
                machine.impaired_at_ns = machine.clock.now_ns
            elif machine.provider is not None:
                for lease_id in machine.containers.running:
                    lease = machine.loop.state.get(ProviderLease, lease_id)
                    if lease is not None:
                        check_exposure(lease, machine.impaired_at_ns, machine.clock.now_ns)


def make_market(seed: int = 0, providers: int = 1, deposit: int = 100 * TOKEN, **provider: object) -> World:
    """A submitter and some providers whose offers are known."""
    world = World(seed, deposit)
    for number in range(1, providers + 1):
        world.add_provider(number, **provider)
    world.add_submitter()
    world.run_for(1)
    return world


def make_default_market(seed: int = 0, providers: int = 1, deposit: int = 100 * TOKEN) -> World:
    """The same under the product's default settings, on hosts whose disks are sometimes slow and sometimes very fast, and
    whose nodes take a while to be reached after a start."""
    world = World(seed, deposit)
    machines = [world.add_provider(number, **read_provider_defaults()) for number in range(1, providers + 1)]
    machines.append(world.add_submitter(**read_submitter_defaults()))
    for machine in machines:
        machine.faults.commit_ns = world.entropy.choice(((20_000, 60_000), (1_000_000, 20_000_000), (0, 400_000_000)))
        machine.faults.net_up_ns = (200_000_000, 5 * NANOS_PER_SECOND)
    world.run_for(1)
    return world
