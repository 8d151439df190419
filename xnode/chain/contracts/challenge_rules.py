"""ChallengeRules: views of the contract that knows what challenges go by: classes of devices, and the settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from metering.units import Amount
from xnode.chain.abi.codec import View

KINDS: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")
"""Of device classes, in the contract's order."""


class DeviceClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of devices as governed now, which its place among all names. weight_milli: thousandths of a reference unit
    that one device is; n, time_limit_ms: of the challenge that verifies it."""

    name: str
    kind: Literal["gpu", "cpu"]
    weight_milli: int
    n: int
    time_limit_ms: int


def class_of(name: str, kind: int, weight_milli: int, n: int, time_limit_ms: int) -> DeviceClass:
    """A class as the contract shows it."""
    return DeviceClass(name, KINDS[kind], weight_milli, n, time_limit_ms)


class ClassTimes(msgspec.Struct, frozen=True):
    """When a class takes new challenges, in the chain's seconds; closes_at, changed_at: 0 for never."""

    opens_at: int
    closes_at: int
    changed_at: int

    def is_open(self, now_s: int) -> bool:
        """True when it takes them now."""
        return self.opens_at <= now_s and (not self.closes_at or now_s < self.closes_at)


class CapacitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The governed numbers, in the order of IChallengeRules.Settings. *_s: seconds; fee, which one challenge costs, and
    device_fee, for each of its devices: OPENX base units; min_panel, min_list: the least members of a panel, and the least
    verifiers there are beside a provider that asks."""

    draw_delay_blocks: int
    panel_size: int
    quorum: int
    min_panel: int
    min_list: int
    answer_time_s: int
    validity_s: int
    spot_check_pause_s: int
    recheck_time_s: int
    fee: Amount
    device_fee: Amount

    def price_of(self, devices: int) -> Amount:
        """What a challenge of so many devices costs."""
        return Amount(self.fee + self.device_fee * devices)


CLASS_OF = View("ChallengeRules", "classOf", class_of)
CLASS_TIMES_OF = View("ChallengeRules", "classTimesOf", ClassTimes)
CLASS_COUNT = View("ChallengeRules", "classCount", int)
SETTINGS = View("ChallengeRules", "settings", CapacitySettings)
