"""Hatch build hook: what a wheel is made of.

The packages under one name at the top (packages/one_name.py), the contracts, the versions that were tested, a manifest of all
of it with its signature when there is one, the bill of materials, and the man page when `make man` has made it. An editable
installation is the repository as it lies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from packages.bill import make_bill  # noqa: E402
from packages.lock import make_constraints, pins_of  # noqa: E402
from packages.one_name import INNER, OUTER, place_of, rename_imports  # noqa: E402

SIGNATURE_VARIABLE = "XNODE_MANIFEST_SIGNATURE"
"""Names the file that `make release` signed the manifest into; without it a wheel is unsigned."""

MANIFEST, SIGNATURE, CONSTRAINTS = "manifest.sha256", "manifest.sha256.sig", "constraints.txt"
"""Of the wheel, in xnode/release: what xnode/release/installed.py reads."""

EXTRAS = {"locked": False, "locked-all": True}
"""Extras that bring the tested versions themselves, for installers that are told no constraints: of the base, of all."""


class WheelHook(BuildHookInterface[Any]):
    """Makes a wheel's files in a folder of its own, and leaves nothing to hatchling's own choice."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="xnode-wheel-")
        root, staged = Path(self.root), Path(self._folder.name)
        self.build_config.set_exclude_all()
        stage(root, staged / OUTER)
        build_data["force_include"][str(staged / OUTER)] = OUTER
        build_data["dependencies"] += [
            _only_for(pin.name, pin.version, pin.marker, extra)
            for extra, is_all in EXTRAS.items()
            for pin in pins_of(root, all_extras=is_all)
        ]
        bill = staged / "xnode.cdx.json"
        bill.write_text(make_bill(root, self.metadata.version))
        build_data["sbom_files"].append(str(bill))
        page = root / "build" / "xnode.1"
        if page.is_file():
            build_data["shared_data"][str(page)] = "share/man/man1/xnode.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version == "standard":
            self._folder.cleanup()


def stage(root: Path, target: Path) -> None:
    """Write the wheel's package xnode into the folder `target`, which is not there yet."""
    sources = {
        path.relative_to(root).as_posix(): path
        for package in (OUTER, *INNER)
        for path in sorted((root / package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    modules = {_module_of(name): name for name in sources if name.endswith(".py")}
    for name, path in sources.items():
        content = path.read_bytes()
        content = rename_imports(content, name, modules) if name.endswith(".py") else content
        _write(target.parent / place_of(name), content)
    shutil.copytree(root / "contracts" / "artifacts", target / "chain" / "artifacts")
    _write(target / "release" / CONSTRAINTS, make_constraints(root).encode())
    _write(target / "release" / MANIFEST, make_manifest(target).encode())
    signature = os.environ.get(SIGNATURE_VARIABLE)
    if signature:
        _write(target / "release" / SIGNATURE, Path(signature).read_bytes())


def make_manifest(folder: Path) -> str:
    """The SHA-256 of every file below the folder, as `sha256sum` writes and checks it, by name."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _only_for(name: str, version: str, marker: str, extra: str) -> str:
    where = f"({marker}) and extra == '{extra}'" if marker else f"extra == '{extra}'"
    return f"{name}=={version} ; {where}"
