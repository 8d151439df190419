"""Brief: ids, times, money and hardware in the few characters a table has room for."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable

from metering.units import NANOS_PER_SECOND
from xnode.control.views import DiskUse, Gas, Hosting, SettingsView
from xnode.text.amount import NATIVE_DECIMALS, brief_amount, format_amount

MAX_COMMAND_CHARS = 160
"""A program given with -c can be long; -o json has it whole."""

_LONG_HEX = re.compile(r"0x[0-9a-fA-F]{24,}")


def brief_id(text: str) -> str:
    """0x and the first eight digits: enough to name a job again, since any unambiguous prefix does."""
    return text[:10]


def brief_address(text: str) -> str:
    """Both ends, as people compare them."""
    return f"{text[:6]}…{text[-4:]}" if len(text) > 12 else text


def brief_text(text: str) -> str:
    """The text with every long hex number cut to what tells it from others."""
    return _LONG_HEX.sub(lambda found: brief_id(found[0]) + "…", text)


def brief_count(count: int, what: str) -> str:
    """The number with its noun: "1 peer", "2 peers"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def brief_settings(settings: SettingsView | None) -> str:
    """Whether a node runs with what is declared, since when, and under which hash; "" where the daemon does not say."""
    if settings is None:
        return ""
    if settings.problem:
        return f"what is declared cannot be taken: {settings.problem}"
    if settings.differing:
        return f"{brief_count(len(settings.differing), 'setting')} declared otherwise: see `xnode config diff`"
    return f"declared, unchanged since {brief_date(settings.unchanged_since_ns)} ({brief_id(settings.hash)})"


def brief_command(words: Iterable[str]) -> str:
    """The command as one would type it, on one line, cut after MAX_COMMAND_CHARS."""
    text = shlex.join(words).replace("\n", "⏎")
    return text if len(text) <= MAX_COMMAND_CHARS else text[: MAX_COMMAND_CHARS - 1] + "…"


def brief_age(at_ns: int, now_ns: int | None = None) -> str:
    """How long ago."""
    passed = max(0, (time.time_ns() if now_ns is None else now_ns) - at_ns)
    return (
        "now" if passed < NANOS_PER_SECOND else brief_duration(passed - passed % NANOS_PER_SECOND).split()[0] + " ago"
    )


def brief_clock(at_ns: int) -> str:
    """Local time of day."""
    seconds, rest = divmod(at_ns, NANOS_PER_SECOND)
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{rest // 1_000_000:03}"


def brief_date(at_ns: int) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ns // NANOS_PER_SECOND)) if at_ns else ""


def brief_money(amount: str, asset: str = "") -> str:
    """See brief_amount. JSON has the exact number."""
    return brief_amount(amount, asset)


def brief_hosting(resources: Hosting) -> str:
    """One line: 2 vCPU · 4 GiB · 10 GiB disk · 1 × NVIDIA H200."""
    parts = [f"{resources.vcpu_milli / 1000:g} vCPU", brief_size(resources.memory_bytes)]
    parts.append(f"{brief_size(resources.disk_bytes)} disk")
    if resources.gpus:
        parts.append(f"{resources.gpus} × {resources.gpu_model or 'GPU'}")
    return " · ".join(parts)


_SIZE_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_TIME_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def brief_size(size_bytes: int) -> str:
    """Three significant figures in the largest fitting binary unit: "1.5 GiB"."""
    for name, unit in _SIZE_UNITS:
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}"
    return f"{size_bytes} B"


def brief_duration(duration_ns: int) -> str:
    """The two largest units that are not zero: "1h 30m", "4.2s", "180ms"."""
    if duration_ns < NANOS_PER_SECOND:
        return f"{duration_ns / 1e6:.0f}ms"
    if duration_ns < 60 * NANOS_PER_SECOND:
        return f"{duration_ns / NANOS_PER_SECOND:.3g}s"
    left, parts = duration_ns // NANOS_PER_SECOND, []
    for name, seconds in _TIME_UNITS:
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def brief_disk(disk: DiskUse) -> str:
    """How full it is, and what of it is the node's."""
    own = f"{brief_size(disk.free)} free, own files {brief_size(sum(disk.own.values()))}"
    leased = f", leases {brief_size(disk.leases)}" if disk.leases else ""
    return own + leased + (f"; no new work below {brief_size(disk.min_free)}" if disk.reason else "")


MANY_TRANSACTIONS = 100_000
"""More than a node sends in years: where gas costs next to nothing, the number says nothing."""


def brief_gas(gas: Gas) -> str:
    """What the node key can pay for."""
    low = "; send it some" if gas.is_low else ""
    coins = brief_money(format_amount(int(gas.wei), NATIVE_DECIMALS))
    most = gas.transactions >= MANY_TRANSACTIONS
    enough = (
        f"more than {MANY_TRANSACTIONS:,} transactions"
        if most
        else f"about {brief_count(gas.transactions, 'transaction')}"
    )
    return f"{coins} of the chain's coin, enough for {enough}{low}"
