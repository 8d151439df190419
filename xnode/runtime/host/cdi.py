"""CDI: which devices a container engine can pass into a container, by the specifications that the vendors' tools write.

Without one, `--device nvidia.com/gpu=0` fails at every launch; with one from before a driver's update, so does the mount of
a library that is gone. https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDERS = ("etc/cdi", "var/run/cdi", "run/cdi")
"""Where engines look, in their order: what is in a later folder hides what is in an earlier one."""

MAX_SPEC_BYTES = 4 << 20
"""A specification of 64 devices with all their mounts takes some hundred KiB; a longer file is none."""

TOOLS = {
    "nvidia.com/gpu": "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    "amd.com/gpu": "amd-ctk cdi generate --output=/etc/cdi/amd.json",
}
"""What writes the specification of a kind."""


@dataclass(frozen=True, slots=True)
class CdiDevice:
    """One device of a specification. nodes: its device files, as far as they are named; missing: a file that it needs and
    that is not on this host, "" when all are."""

    kind: str
    name: str
    nodes: tuple[str, ...] = ()
    missing: str = ""

    @property
    def full_name(self) -> str:
        """As the engine's --device takes it."""
        return f"{self.kind}={self.name}"


def read_cdi(root: Path = Path("/")) -> tuple[CdiDevice, ...]:
    """Every device of every specification that can be read; of two with one name the one that engines take."""
    found: dict[str, CdiDevice] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*")):
            if path.suffix in (".json", ".yaml", ".yml"):
                found |= {one.full_name: one for one in _read_spec(path, root)}
    return tuple(found.values())


def find_device(devices: tuple[CdiDevice, ...], kind: str, names: tuple[str, ...], node: str) -> CdiDevice | None:
    """The device by the first of these names that there is, where its files are those of the GPU. node: the file that is
    this GPU's alone, "" when it is not known."""
    of_kind = {one.name: one for one in devices if one.kind == kind}
    for name in names:
        device = of_kind.get(name)
        if device is not None and (not node or not device.nodes or node in device.nodes):
            return device
    alone = [one for one in of_kind.values() if node in one.nodes and one.name != "all"]
    return alone[0] if node and len(alone) == 1 else None


def _read_spec(path: Path, root: Path) -> Iterator[CdiDevice]:
    spec = _load(path)
    common = _list(_dict(spec.get("containerEdits")).get("mounts"))
    for one in _list(spec.get("devices")):
        edits = _dict(one.get("containerEdits"))
        nodes = tuple(str(node.get("path", "")) for node in _list(edits.get("deviceNodes")))
        files = [str(mount.get("hostPath", "")) for mount in (*common, *_list(edits.get("mounts")))]
        missing = _find_missing(root, [*(nodes if (root / "dev").is_dir() else ()), *files])
        yield CdiDevice(str(spec.get("kind", "")), str(one.get("name", "")), nodes, missing)


def _find_missing(root: Path, files: list[str]) -> str:
    return next((file for file in files if file and not (root / file.lstrip("/")).exists()), "")


def _load(path: Path) -> dict[str, Any]:
    """The specification, empty when the file cannot be read as one: the engine passes over it as well."""
    import yaml

    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        if path.stat().st_size <= MAX_SPEC_BYTES:
            text = path.read_text()
            return _dict(json.loads(text) if path.suffix == ".json" else yaml.load(text, _yaml_loader()))
    return {}


def _yaml_loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [_dict(one) for one in value] if isinstance(value, list) else []
