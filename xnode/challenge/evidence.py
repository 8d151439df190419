"""Capacity papers: what others signed and should not have, kept for whoever reports it (xnode fault report)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from metering.capacity import Opening, SignedAnswer, SignedVerdict
from metering.codec import encode
from metering.eip712 import Domain, keccak
from metering.evidence import AnswerPaper, VerdictPaper
from xnode.ports.store import Promises

_KINDS = {"AnswerPaper": "Answer", "VerdictPaper": "Verdict"}
"""What the rows of the table are, and what the files say."""


@dataclass(frozen=True, slots=True)
class PaperKeeper:
    """Keeps papers in the store. domain: CapacityRegistry's."""

    promises: Promises
    domain: Domain

    async def keep_answer(self, signed: SignedAnswer, opening: Opening) -> None:
        """A signed answer and an element of it that is wrong."""
        await self._keep(AnswerPaper(self.domain.chain_id, self.domain.contract, signed, opening))

    async def keep_verdict(self, signed: SignedVerdict) -> None:
        """A verdict that another one of the same verifier contradicts."""
        await self._keep(VerdictPaper(self.domain.chain_id, self.domain.contract, signed))

    async def _keep(self, paper: AnswerPaper | VerdictPaper) -> None:
        data = encode(paper)
        await self.promises.keep(type(paper).__name__, keccak(data), data)

    async def show(self, _params: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
        """Control method provider.papers: each paper's type and canonical bytes."""
        for kind, name in _KINDS.items():
            for data in await self.promises.list_values(kind):
                yield {"type": name, "bytes": "0x" + data.hex()}
