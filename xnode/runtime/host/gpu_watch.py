"""GPU watch: of the GPUs that a node lends, which still work, which are lost, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from xnode.errors import Permanent
from xnode.ports.runtime import GpuLook
from xnode.runtime.host.gpus import Survey, survey_gpus

FRESH_S = 2.0
"""A look serves all who ask within this time: a driver that slept takes seconds for each."""


class GpuWatch:
    """survey: at the start; count: of its GPUs so many are lent, the first ones. Its methods block, and any thread may call
    them."""

    def __init__(self, survey: Survey, count: int, read: Callable[[], Survey] = survey_gpus) -> None:
        self.survey, self._read = survey, read
        self.devices = survey.devices[:count]
        self._keys = dict(zip(self.devices, survey.keys, strict=False))
        self._lock = threading.Lock()
        self._looked_at, self._look = float("-inf"), GpuLook(len(self.devices), {}, survey.faults)

    @property
    def faults(self) -> tuple[str, ...]:
        """As of the last look: what is not lent, and why."""
        return self._look.faults

    def look(self) -> GpuLook:
        """How they are now."""
        with self._lock:
            if time.monotonic() - self._looked_at > FRESH_S:
                self._look = self._compare(self._ask())
                self._looked_at = time.monotonic()
            return self._look

    def find_lost(self, devices: tuple[str, ...]) -> str:
        """Which of these devices are lost, and why; "" when all work."""
        lost = self.look().lost
        return "; ".join(dict.fromkeys(lost[device] for device in devices if device in lost))

    def _ask(self) -> Survey:
        try:
            return self._read()
        except Permanent as error:
            kinds = frozenset(device.partition("=")[0] for device in self.devices)
            return Survey(faults=(str(error),), unanswered=kinds)

    def _compare(self, now: Survey) -> GpuLook:
        """Lost is what its driver answers without: one that does not answer at all says nothing of the GPUs."""
        fresh = tuple(fault for fault in now.faults if fault not in self.survey.faults)
        lost = {
            device: "; ".join((f"{device} is lost", *fresh))
            for device, key in self._keys.items()
            if key not in now.working and device.partition("=")[0] not in now.unanswered
        }
        available = sum(key in now.keys for key in self._keys.values())
        return GpuLook(available, lost, now.faults)
