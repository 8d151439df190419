"""Wiring: who may take stake, what keeps it and who is never paid, as every deployment connects its ProviderRegistry."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from metering.units import Address
from xnode.chain.contracts.provider_registry import HoldEntry, JudgeEntry, Role
from xnode.chain.deployment.manifest import Contracts

PROVIDER_MOST_PPM = 500_000
"""Of what a provider staked, in one penalty period: a fault of software or a stolen key is not its end."""

VERIFIER_MOST_PPM = 1_000_000
"""Of a verifier's pledge: a false verdict is signed by hand, as it were, and what it lets through is worth far more."""


def list_judges(c: Contracts) -> tuple[JudgeEntry, ...]:
    """Who may take stake by proof, and the most of each compartment."""
    return (
        JudgeEntry(c.fault_prover, int(Role.PROVIDER), PROVIDER_MOST_PPM),
        JudgeEntry(c.fault_prover, int(Role.VERIFIER), VERIFIER_MOST_PPM),
        JudgeEntry(c.over_capacity, int(Role.PROVIDER), PROVIDER_MOST_PPM),
        JudgeEntry(c.breach_prover, int(Role.PROVIDER), PROVIDER_MOST_PPM),
        JudgeEntry(c.answer_reveals, int(Role.PROVIDER), PROVIDER_MOST_PPM),
    )


def list_holds(credits: Iterable[Address], verifiers: Address) -> tuple[HoldEntry, ...]:
    """What keeps stake from leaving: credits that of providers, the list of verifiers their pledges."""
    of_credits = tuple(HoldEntry(credit, int(Role.PROVIDER)) for credit in credits)
    return (*of_credits, HoldEntry(verifiers, int(Role.VERIFIER)))


def list_not_payable(c: Contracts) -> tuple[Address, ...]:
    """All contracts of the deployment: whatever was paid to one of them as a provider's payout would be nobody's."""
    return msgspec.structs.astuple(c)
