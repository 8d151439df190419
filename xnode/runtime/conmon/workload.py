"""Workload: what this process knows of one lease's container between calls, so that a reading costs two system
calls."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import trio

from metering.usage import Counters
from xnode.backoff import Backoff
from xnode.errors import Retryable
from xnode.ports.runtime import WorkloadState
from xnode.runtime.conmon.lease_folder import Ending, LeaseFolder, LeaseRecord, StopNote, is_timed_out
from xnode.runtime.conmon.stopwatch import Stopwatch, start_stopwatch
from xnode.runtime.host.cgroup import CpuCounter, LeaseCgroup, parse_keyed
from xnode.runtime.host.network import make_network

ENDING_DEADLINE_S = 20.0
"""conmon writes the exit status within milliseconds of the exit; later than this it is dead or the disk hangs."""

LOOKS = Backoff(first_s=0.002, most_s=0.1)
"""Between looks for the exit status once the process is gone."""


class Workload:
    """One started (or once started) lease. Its files are the truth; this only keeps what they cannot change any
    more."""

    def __init__(self, folder: LeaseFolder, record: LeaseRecord, cgroup: LeaseCgroup, boot_id: str) -> None:
        self.folder, self.record, self.cgroup = folder, record, cgroup
        self._survived = record.boot_id == boot_id
        self._started_ns: int | None = None
        self._watch: Stopwatch | None = None
        self._ending: Ending | None = None
        self._state: WorkloadState | None = None
        self._saw_network = False
        self._pidfd: int | None = None
        self._poll: select.poll | None = None
        self._cpu: CpuCounter | None = None
        # After a reboot the number may be another lease's.
        self._network = make_network(record.uid_base) if record.network and self._survived else None
        self._least = Counters(0, 0)
        self._at_limit: Counters | None = None

    def close(self) -> None:
        """Close the descriptors."""
        if self._pidfd is not None:
            os.close(self._pidfd)
        if self._cpu is not None:
            self._cpu.close()
        self._pidfd, self._poll, self._cpu = None, None, None

    # ------------------------------------------------------------------------------------------------------- state

    def look(self) -> WorkloadState:
        """How the workload is, from its files; "running" also while its exit status is still being written."""
        if self._state is not None:
            return self._state
        started_ns = self._read_started_ns()
        ending = self._find_ending(started_ns)
        self._find_stopwatch()
        if ending is None:
            return WorkloadState("running" if started_ns is not None else "created", started_at_ns=started_ns)
        timed_out = is_timed_out(self.record, started_ns, ending, self.folder.read_stop())
        self._state = WorkloadState(
            "exited",
            started_at_ns=started_ns,
            finished_at_ns=ending.finished_at_ns,
            exit_code=ending.exit_code,
            out_of_memory=self._is_out_of_memory(),
            timed_out=timed_out,
        )
        return self._state

    async def wait_exit(self) -> WorkloadState:
        """Returns when it has exited and its exit status is known; at once when it has not started.

        conmon kills it after its limit even while no caller waits; a caller that waits asks it to end, in time.
        """
        while self.look().status == "running":
            if not self.is_live():
                await self.wait_ending()
                continue
            if (left_s := self._left_s()) <= 0:
                await self.end(at_limit=True)
            with trio.move_on_after(max(left_s, LOOKS.most_s)):
                await self._wait_gone()
        return await self.look_closely()

    async def look_closely(self) -> WorkloadState:
        """As look(); of a workload that has exited also what takes a program to find out."""
        state = self.look()
        if state.status == "exited" and self._network is not None and not self._saw_network:
            spent = await trio.to_thread.run_sync(self._network.is_spent)
            self._saw_network = True
            self._state = state = replace(state, network_spent=spent)
        return self._state or state

    async def end(self, at_limit: bool = False) -> None:
        """Ask every process to end, give them the grace that was agreed, then kill what is left.

        Asked twice, also after our own death, it is one grace. What a workload uses of it beyond its limit is not billed.
        """
        counters = await self._count_at_limit() if at_limit else None
        grace_ns = self.record.stop_grace_ns
        note = self.folder.read_stop()
        if note is None:
            if not self._can_hear():
                grace_ns = 0
            elif grace_ns:
                self.cgroup.signal(self.record.stop_signal)
            note = self.folder.write_stop(StopNote(time.time_ns(), counters))
        left_ns = min(note.asked_at_ns + grace_ns - time.time_ns(), grace_ns)
        with trio.move_on_after(max(0, left_ns) / 1e9):
            await self._wait_gone()
        self.cgroup.kill()

    async def _count_at_limit(self) -> Counters:
        """What it has used now that its limit is reached: the clock of files may be some milliseconds behind ours."""
        return msgspec.structs.replace(await self.read_counters(), running_ns=self.record.duration_limit_ns)

    def _can_hear(self) -> bool:
        """False when the first process is alone and has not asked for the signal: the kernel then keeps it from the
        first process of a pid namespace, so there is nobody to wait for."""
        pids = self.cgroup.list_pids()
        return len(pids) > 1 or any(listens_to(pid, self.record.stop_signal) for pid in pids)

    async def _wait_gone(self) -> None:
        # A descriptor of its own: several may wait for one workload, and trio lets only one wait on a descriptor.
        own = os.dup(self._open_pidfd())
        try:
            await trio.lowlevel.wait_readable(own)
        finally:
            os.close(own)

    def _left_s(self) -> float:
        """How long until its wall-clock limit."""
        watch = self._find_stopwatch()
        return (self.record.duration_limit_ns - (watch.running_ns() if watch else 0)) / 1e9

    async def wait_ending(self) -> None:
        """Returns when the exit status of a process that is gone is known; unknown for good past the deadline."""
        until, pauses = trio.current_time() + ENDING_DEADLINE_S, LOOKS.pauses()
        while self._find_ending(self._read_started_ns()) is None:
            if trio.current_time() > until or not self._has_monitor():
                if self._find_ending(self._read_started_ns()) is None:
                    self.folder.write_unknown_ending(time.time_ns())
                return
            await trio.sleep(next(pauses))

    def is_live(self) -> bool:
        """True while its first process runs."""
        if self._poll is None:
            if self._open_pidfd() < 0:
                return False
            self._poll = select.poll()  # select() itself cannot watch descriptors above 1023
            self._poll.register(self._open_pidfd(), select.POLLIN)
        return not self._poll.poll(0)

    def _read_started_ns(self) -> int | None:
        if self._started_ns is None:
            self._started_ns = self.folder.read_started_ns()
        return self._started_ns

    def _find_ending(self, started_ns: int | None) -> Ending | None:
        if self._ending is None:
            self._ending = self.folder.read_ending()
        if self._ending is None and not self._survived:
            # The host restarted under it: it ran at least until its files last changed.
            last_ns = self.folder.read_last_written_ns()
            self._ending = Ending(max(last_ns, started_ns or 0), None)
        return self._ending

    def _is_out_of_memory(self) -> bool:
        kept = parse_keyed(self.folder.read_oom_text()).get("oom_kill", 0)
        # The child may go between the two looks: then its count has just been kept.
        return bool(kept or self.cgroup.read_oom_kills() or parse_keyed(self.folder.read_oom_text()).get("oom_kill", 0))

    def _open_pidfd(self) -> int:
        """A descriptor of the first process, kept; -1 when it is gone."""
        if self._pidfd is None:
            self._pidfd = self._find_pidfd()
        return self._pidfd if self._pidfd is not None else -1

    def _find_pidfd(self) -> int | None:
        pid = self.folder.read_pid("pid")
        if pid is None or not self._survived:
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        # Process ids are used again: only one that stands in our cgroup is ours.
        if pid in self.cgroup.list_pids():
            return pidfd
        os.close(pidfd)
        return None

    def _has_monitor(self) -> bool:
        pid = self.folder.read_pid("conmon.pid")
        if pid is None or not self._survived:
            return False
        command = Path(f"/proc/{pid}/cmdline")
        with suppress(FileNotFoundError, ProcessLookupError):
            return self.folder.read_cid().encode() in command.read_bytes()
        return False

    # ---------------------------------------------------------------------------------------------------- counters

    async def read_counters(self) -> Counters:
        """Usage now. Never falls within this process, whatever the host's clock does.

        While it runs this takes two system calls and no file is opened: a node reads a thousand of these every second.
        """
        started_ns = self._read_started_ns()
        if started_ns is None:
            return Counters(0, 0)
        if self._ending is None and not self.is_live():
            await self.wait_ending()
            self._find_ending(started_ns)
        ending = self._ending
        running_ns = self._read_running_ns(started_ns, ending)
        if running_ns > self.record.duration_limit_ns and (at_limit := self._read_at_limit()) is not None:
            return at_limit
        running_ns = max(min(running_ns, self.record.duration_limit_ns), self._least.running_ns)
        # The quota lets CPU time run ahead by parts of a period; what is above the leased rate is not billed.
        vcpu_ns = min(self._read_cpu_ns(), self.record.vcpu_milli * running_ns // 1000)
        ingress, egress = self._read_network_bytes()
        least = self._least
        self._least = Counters(
            running_ns,
            max(vcpu_ns, least.vcpu_ns),
            max(ingress, least.ingress_bytes),
            max(egress, least.egress_bytes),
        )
        return self._least

    @property
    def was_read_whole(self) -> bool:
        """True when the counters that were read last are its last."""
        return self._ending is not None

    def _read_running_ns(self, started_ns: int, ending: Ending | None) -> int:
        watch = self._find_stopwatch()
        if ending is None:
            return watch.running_ns() if watch else 0
        return watch.ran_ns(ending.finished_at_ns) if watch else max(0, ending.finished_at_ns - started_ns)

    def _find_stopwatch(self) -> Stopwatch | None:
        """None before the start, and after the host's: its clock began anew then."""
        started_ns = self._read_started_ns()
        if self._watch is None and started_ns is not None and self._survived:
            self._watch = start_stopwatch(self.folder.path / "stopwatch", started_ns)
        return self._watch

    def _read_at_limit(self) -> Counters | None:
        """What it had used when it was asked to end for its limit: its grace is not billed."""
        if self._at_limit is None and (note := self.folder.read_stop()) is not None:
            self._at_limit = note.at_limit
        return self._at_limit

    def _read_network_bytes(self) -> tuple[int, int]:
        """What was agreed is the most that is billed: packets are counted before the rule that drops them."""
        ingress, egress = self._network.read_bytes() if self._network else (0, 0)
        most = self.record.network_bytes
        return (ingress, egress) if most is None else (min(ingress, most), min(egress, most))

    def _read_cpu_ns(self) -> int:
        if self._cpu is None:
            self._cpu = self.cgroup.open_cpu()
        if self._cpu is None:
            return 0
        try:
            return self._cpu.read_ns()
        except OSError as error:
            raise Retryable(f"lease {self.folder.path.name[:16]}: CPU counter is gone: {error.strerror}") from error


def listens_to(pid: int, number: int) -> bool:
    """True when a process has a handler for a signal, or waits for it (sigwait, signalfd)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    masks = (line.split()[1] for line in status.splitlines() if line.startswith(("SigCgt:", "SigBlk:")))
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)
