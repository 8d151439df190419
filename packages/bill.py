"""Bill: the bill of materials (CycloneDX) of a node, from the locks: the same bytes from the same tree.

    python -m packages.bill > build/xnode.cdx.json

Standard library only: the build hook's.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packages.lock import OURS, Pin, pins_of

SPEC = "1.6"

INSIDE_CONTRACTS = "@openzeppelin/contracts"
"""The npm package that is compiled into the contracts' code; all others of that lock are tools."""


def make_bill(root: Path, version: str) -> str:
    """The bill as JSON. root: of the repository."""
    base = {pin.name for pin in pins_of(root, all_extras=False)}
    pins = pins_of(root, all_extras=True)
    library = _describe_contracts(root)
    ours = f"pkg:pypi/xnode@{version}"
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "xnode",
                "version": version,
                "purl": ours,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": [*(_describe(pin, is_base=pin.name in base) for pin in pins), library],
        "dependencies": [
            {"ref": ours, "dependsOn": [*_refs_needed_by(OURS, pins), library["bom-ref"]]},
            *({"ref": _ref(pin), "dependsOn": _refs_needed_by(pin.name, pins)} for pin in pins),
        ],
    }
    return json.dumps(bill, indent=1) + "\n"


def _describe(pin: Pin, *, is_base: bool) -> dict[str, Any]:
    """A library. Its hashes are those of all its files at the index, of which an installation has one."""
    files = [{"alg": "SHA-256", "content": one} for one in pin.hashes]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _ref(pin),
        "name": pin.name,
        "version": pin.version,
        "scope": "required" if is_base else "optional",
        "purl": _ref(pin),
        "externalReferences": [{"type": "distribution", "url": _ref(pin), "hashes": files}],
    }
    if pin.marker:
        component["properties"] = [{"name": "xnode:marker", "value": pin.marker}]
    return component


def _describe_contracts(root: Path) -> dict[str, Any]:
    lock = json.loads((root / "contracts" / "package-lock.json").read_text())
    found = lock["packages"][f"node_modules/{INSIDE_CONTRACTS}"]
    algorithm, _, digest = found["integrity"].partition("-")
    assert algorithm == "sha512", algorithm
    group, _, name = INSIDE_CONTRACTS.partition("/")
    ref = f"pkg:npm/{INSIDE_CONTRACTS.replace('@', '%40')}@{found['version']}"
    return {
        "type": "library",
        "bom-ref": ref,
        "group": group,
        "name": name,
        "version": found["version"],
        "scope": "required",
        "hashes": [{"alg": "SHA-512", "content": base64.b64decode(digest).hex()}],
        "licenses": [{"license": {"id": found["license"]}}],
        "purl": ref,
    }


def _refs_needed_by(who: str, pins: Iterable[Pin]) -> list[str]:
    return [_ref(pin) for pin in pins if who in pin.via]


def _ref(pin: Pin) -> str:
    return f"pkg:pypi/{pin.name}@{pin.version}"


def read_version(root: Path) -> str:
    """The version that xnode/__init__.py says."""
    found = re.search(r'^__version__ = "([^"]+)"', (root / "xnode/__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    sys.stdout.write(make_bill(here, read_version(here)))
