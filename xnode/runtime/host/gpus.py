"""GPUs: those of this host that can be lent, and the reason for each that cannot."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scheduler.offer import Gpu
from xnode.runtime.host import amd, nvidia
from xnode.runtime.host.cdi import TOOLS, CdiDevice, find_device, read_cdi
from xnode.runtime.host.nvidia import Found
from xnode.runtime.host.pci import find_idle_cards


@dataclass(frozen=True, slots=True)
class Survey:
    """The GPUs that can be lent, all of one model, which is all that an offer can name. devices: how the engine passes each
    into a container (CDI); faults: what else was found, and why it is not lent: "what; what to do", or only the first;
    shared_bytes: of the host's memory, what those of them have that have none of their own."""

    gpus: tuple[Gpu, ...] = ()
    devices: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    shared_bytes: int = 0
    keys: tuple[str, ...] = ()
    """Of each that can be lent: what tells it from all others, whatever its name in a specification is."""
    working: frozenset[str] = frozenset()
    """The keys of all that work, also of those that cannot be lent."""
    unanswered: frozenset[str] = frozenset()
    """Kinds of devices of which nothing is known now, because their driver did not answer."""


def survey_gpus(root: Path = Path("/")) -> Survey:
    """Every GPU of the host. Having none is not an error. Blocks: a driver that slept may take seconds.

    Raises Permanent where there are NVIDIA GPUs and the library that asks their driver is not installed.
    """
    specs = read_cdi(root)
    lent: list[tuple[Found, str]] = []
    faults: list[str] = []
    readings = {nvidia.KIND: nvidia.read_nvidia(root), amd.KIND: amd.read_amd(root)}
    for kind, reading in readings.items():
        named, unnamed = _find_names(kind, reading.found, specs)
        lent += named
        faults += [*reading.faults, *unnamed]
    kept, others = choose_model(lent)
    return Survey(
        gpus=tuple(one.gpu for one, _ in kept),
        devices=tuple(name for _, name in kept),
        faults=(*faults, *others, *find_idle_cards(root)),
        shared_bytes=sum(one.gpu.memory_bytes for one, _ in kept if one.is_unified),
        keys=tuple(one.key for one, _ in kept),
        working=frozenset(key for reading in readings.values() for key in reading.keys),
        unanswered=frozenset(kind for kind, reading in readings.items() if not reading.is_answered),
    )


def choose_model(lent: list[tuple[Found, str]]) -> tuple[list[tuple[Found, str]], list[str]]:
    """(those of the model that has the most memory in all, why the others are not lent): an offer names one model, and
    a job that asks for it must not get another."""
    models: dict[tuple[str, str], list[tuple[Found, str]]] = defaultdict(list)
    for one in lent:
        models[one[0].gpu.vendor, one[0].gpu.model].append(one)
    if not models:
        return [], []
    best = max(models, key=lambda model: sum(one.gpu.memory_bytes for one, _ in models[model]))
    faults = [
        f"{len(others)} × {model[1]} beside {len(models[best])} × {best[1]}: an offer names one model of GPU"
        for model, others in models.items()
        if model != best
    ]
    return models[best], faults


def _find_names(
    kind: str, found: tuple[Found, ...], specs: tuple[CdiDevice, ...]
) -> tuple[list[tuple[Found, str]], list[str]]:
    """(each GPU with its name in a specification, why the others cannot be passed into a container)."""
    named, unnamed, faults = [], 0, []
    for one in found:
        device = find_device(specs, kind, one.names, one.node)
        if device is None:
            unnamed += 1
        elif device.missing:
            faults.append(f"{device.full_name} needs {device.missing}, which is not there; run `{TOOLS[kind]}`")
        else:
            named.append((one, device.full_name))
    if unnamed:
        which = f"{unnamed} of {len(found)} GPUs" if unnamed < len(found) else "no GPU"
        verb = "are in no" if unnamed < len(found) else "is in a"
        faults.append(
            f"{which} {verb} CDI specification ({kind}), and no container gets one without; run `{TOOLS[kind]}`"
        )
    return named, faults
