"""Capacity documents: what others signed and should not have, kept for a report (xnode fault report)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from metering.capacity import ElementProof, SignedAnswer, SignedVerdict
from metering.codec import encode
from metering.eip712 import Domain, keccak
from metering.evidence import AnswerDocument, VerdictDocument
from xnode.ports.store import Promises

_KINDS = {"AnswerDocument": "Answer", "VerdictDocument": "Verdict"}
"""What the rows of the table are, and what the files say."""


@dataclass(frozen=True, slots=True)
class EvidenceKeeper:
    """Keeps documents in the store. domain: CapacityRegistry's."""

    promises: Promises
    domain: Domain

    async def keep_answer(self, signed: SignedAnswer, proof: ElementProof) -> None:
        """A signed answer and an element of it that is wrong."""
        await self._keep(AnswerDocument(self.domain.chain_id, self.domain.contract, signed, proof))

    async def keep_verdict(self, signed: SignedVerdict) -> None:
        """A verdict that another one of the same verifier contradicts."""
        await self._keep(VerdictDocument(self.domain.chain_id, self.domain.contract, signed))

    async def _keep(self, document: AnswerDocument | VerdictDocument) -> None:
        data = encode(document)
        await self.promises.keep(type(document).__name__, keccak(data), data)

    async def read_all(self) -> AsyncIterator[tuple[str, bytes]]:
        """Each document's type and canonical bytes."""
        for kind, name in _KINDS.items():
            for data in await self.promises.list_values(kind):
                yield name, data
