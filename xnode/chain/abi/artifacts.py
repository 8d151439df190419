"""Artifacts: what the Solidity build gave for each contract, as committed beside the sources."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from xnode.errors import Permanent

CONTRACTS = (
    "OpenxToken",
    "ProviderRegistry",
    "SplitRegistry",
    "CapacityRegistry",
    "ComputeCredit",
    "PaymentEscrow",
    "FaultProver",
    "TimelockController",
)

# In a wheel the artifacts lie inside the package, in a checkout beside it.
_FOLDERS = (Path(__file__).parents[1] / "artifacts", Path(__file__).parents[3] / "contracts" / "artifacts")


class Artifact(msgspec.Struct, frozen=True):
    """One contract's build: ABI, creation code, and runtime code with the places constructors fill in."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    immutables: tuple[tuple[int, int], ...]
    """(start, length) of each immutable in the runtime code."""

    def matches(self, code: bytes) -> bool:
        """True when the code on chain is this runtime code, whatever its immutables hold."""
        return self._blank(code) == self._blank(self.deployed_bytecode)

    def _blank(self, code: bytes) -> bytes:
        blanked = bytearray(code)
        for start, length in self.immutables:
            if start + length <= len(blanked):
                blanked[start : start + length] = bytes(length)
        return bytes(blanked)


@lru_cache(maxsize=len(CONTRACTS))
def load_artifact(name: str) -> Artifact:
    """The committed artifact of a contract. Permanent when the installation lacks it."""
    for folder in _FOLDERS:
        path = folder / f"{name}.json"
        if path.is_file():
            return _parse(name, json.loads(path.read_text()))
    raise Permanent(f"contract artifact {name}.json is missing from {_FOLDERS[0]}; install xnode again")


def _parse(name: str, raw: dict[str, Any]) -> Artifact:
    spans = [span for spans in raw["immutableReferences"].values() for span in spans]
    return Artifact(
        name,
        raw["abi"],
        bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        tuple((span["start"], span["length"]) for span in spans),
    )
