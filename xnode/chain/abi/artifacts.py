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
    "RandaoRandomness",
    "VerifierRegistry",
    "ChallengeRules",
    "CapacityRegistry",
    "ComputeCredit",
    "PaymentEscrow",
    "AnswerReveals",
    "FaultProver",
    "OverCapacity",
    "BreachProver",
    "Timelock",
)

# In a wheel the artifacts lie inside the package, in a checkout beside it.
_FOLDERS = (Path(__file__).parents[1] / "artifacts", Path(__file__).parents[3] / "contracts" / "artifacts")


class AbiField(msgspec.Struct, frozen=True):
    """One input or output. components: of a tuple, or of the tuples in a list; is_indexed: an event's topic."""

    kind: str = msgspec.field(name="type")
    name: str = ""
    components: tuple[AbiField, ...] = ()
    is_indexed: bool = msgspec.field(name="indexed", default=False)

    @property
    def spelled(self) -> str:
        """The type with tuples written out, as signatures have it."""
        if not self.kind.startswith("tuple"):
            return self.kind
        return f"({','.join(part.spelled for part in self.components)}){self.kind[5:]}"


class AbiEntry(msgspec.Struct, frozen=True):
    """One function, event, error or constructor. mutability: "view" and "pure" change nothing."""

    kind: str = msgspec.field(name="type")
    name: str = ""
    inputs: tuple[AbiField, ...] = ()
    outputs: tuple[AbiField, ...] = ()
    mutability: str = msgspec.field(name="stateMutability", default="")

    @property
    def signature(self) -> str:
        """The canonical signature, which selectors and topics are hashes of."""
        return f"{self.name}({','.join(field.spelled for field in self.inputs)})"

    @property
    def is_view(self) -> bool:
        """True for a function that changes nothing."""
        return self.kind == "function" and self.mutability in ("view", "pure")


class _AbiOnly(msgspec.Struct):
    abi: tuple[AbiEntry, ...]


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
    raw = json.loads(_read(name))
    spans = [span for spans in raw["immutableReferences"].values() for span in spans]
    return Artifact(
        name,
        raw["abi"],
        bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        tuple((span["start"], span["length"]) for span in spans),
    )


@lru_cache(maxsize=len(CONTRACTS))
def load_abi(name: str) -> tuple[AbiEntry, ...]:
    """A contract's functions, events and errors, without its code: 0.2 ms. Permanent when the installation lacks it."""
    return msgspec.json.decode(_read(name), type=_AbiOnly).abi


def find_entry(contract: str, kind: str, name: str) -> AbiEntry:
    """The function, event or error of that name; "constructor" has none. LookupError when it is not found."""
    for entry in load_abi(contract):
        if entry.kind == kind and entry.name == name:
            return entry
    raise LookupError(f"{contract} has no {kind} {name}")


def _read(name: str) -> bytes:
    for folder in _FOLDERS:
        path = folder / f"{name}.json"
        if path.is_file():
            return path.read_bytes()
    raise Permanent(f"contract artifact {name}.json is missing from {_FOLDERS[0]}", hint="install xnode again")
