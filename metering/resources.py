"""Resources: what a job asks for and an offer has: the limits of one workload."""

from __future__ import annotations

import msgspec

from metering.bounds import MAX_LABEL_CHARS, Label
from metering.units import BYTES_PER_GIB, U64, U64_MAX


class Resources(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """vcpu_milli: thousandths of a vCPU; *_bytes: bytes; gpus: whole devices of `gpu_model` ("" when none)."""

    vcpu_milli: U64
    memory_bytes: U64
    disk_bytes: U64
    gpus: U64 = 0
    gpu_model: Label = ""

    def __post_init__(self) -> None:
        for name in ("vcpu_milli", "memory_bytes", "disk_bytes", "gpus"):
            value = getattr(self, name)
            if not 0 <= value <= U64_MAX:
                raise ValueError(f"{name} must be between 0 and 2**64-1, not {value}")
        if len(self.gpu_model) > MAX_LABEL_CHARS:
            raise ValueError(f"gpu_model is longer than {MAX_LABEL_CHARS} characters")

    def fits_in(self, other: Resources) -> bool:
        """True when every number is at most the other's."""
        return (
            self.vcpu_milli <= other.vcpu_milli
            and self.memory_bytes <= other.memory_bytes
            and self.disk_bytes <= other.disk_bytes
            and self.gpus <= other.gpus
        )

    def plus(self, other: Resources) -> Resources:
        """The sum of both, with our GPU model."""
        return Resources(
            self.vcpu_milli + other.vcpu_milli,
            self.memory_bytes + other.memory_bytes,
            self.disk_bytes + other.disk_bytes,
            self.gpus + other.gpus,
            self.gpu_model or other.gpu_model,
        )

    def minus(self, other: Resources) -> Resources:
        """What is left of ours when the other is taken, never below zero."""
        return Resources(
            max(0, self.vcpu_milli - other.vcpu_milli),
            max(0, self.memory_bytes - other.memory_bytes),
            max(0, self.disk_bytes - other.disk_bytes),
            max(0, self.gpus - other.gpus),
            self.gpu_model,
        )

    def describe(self) -> str:
        """One short line for people."""
        text = f"{self.vcpu_milli / 1000:g} vCPU, {self.memory_bytes / BYTES_PER_GIB:.3g} GiB memory"
        text += f", {self.disk_bytes / BYTES_PER_GIB:.3g} GiB disk"
        return text + (f", {self.gpus} x {self.gpu_model or 'GPU'}" if self.gpus else "")


NO_RESOURCES = Resources(0, 0, 0)
