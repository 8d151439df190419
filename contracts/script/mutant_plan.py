"""What is changed, what is deployed with the change, and which of the mutants are tried."""

from __future__ import annotations

import random
from collections.abc import Collection
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mutant_source import Mutant


class Changed(NamedTuple):
    """deployed: the contracts that are deployed with the change. near: their own tests, tried first: nine in ten mutants die
    there. inside: the tests that have a library compiled in."""

    deployed: tuple[str, ...]
    near: str
    inside: str = ""


ESCROW = "Fee,Refund,Stop,Splits,Burning,Authorization,GivingBack,Opening,FreeBalance,Claim,ClaimRows,Attacks"
LIST = "Verifiers,VerifiersGoverned,CapacityChallenge,CapacityVerdicts"
RULES = "CapacityGoverned,CapacityChallenge"
PROVER = "EquivocalDocuments,Equivocation,WrongElement"

SOURCES = {
    "src/money/PaymentEscrow.sol": Changed(("PaymentEscrow",), ESCROW),
    "src/money/FreeBalance.sol": Changed(("PaymentEscrow",), ESCROW),
    "src/money/ClaimRows.sol": Changed(("PaymentEscrow",), ESCROW, "ClaimRows"),
    "src/money/SplitRegistry.sol": Changed(("SplitRegistry",), "SplitRegistry,Splits"),
    "src/money/ComputeCredit.sol": Changed(
        ("ComputeCredit",), "Minting,Redeeming,Holding,CreditTerms,CreditAttacks,WorkedExample"
    ),
    "src/money/ProviderRegistry.sol": Changed(
        ("ProviderRegistry",),
        "ProviderRegistry,Penalties,Slashing,Holding,Redeeming,CreditAttacks,Shortfall,Equivocation",
    ),
    "src/money/OpenxToken.sol": Changed(("OpenxToken",), "OpenxToken,Bridging,BridgeFamilies,Erc20Properties"),
    "src/capacity/CapacityRegistry.sol": Changed(
        ("CapacityRegistry",), "CapacityVerdicts,CapacityChallenge,CapacityGoverned,Revealed,Verifiers"
    ),
    "src/capacity/ChallengeRules.sol": Changed(("ChallengeRules",), RULES),
    "src/capacity/VerifierRegistry.sol": Changed(("VerifierRegistry",), LIST),
    "src/capacity/VerifierList.sol": Changed(("VerifierRegistry",), LIST, "DrawOdds"),
    "src/capacity/GovernedSteps.sol": Changed(
        ("ChallengeRules", "VerifierRegistry"), "CapacityGoverned,VerifiersGoverned"
    ),
    "src/capacity/RandaoRandomness.sol": Changed(("RandaoRandomness",), "Randomness,CapacityChallenge"),
    "src/capacity/AnswerReveals.sol": Changed(("AnswerReveals",), "AnswerReveals,Revealed"),
    "src/governance/GovernedForGood.sol": Changed(("PaymentEscrow", "OpenxToken", "ChallengeRules"), "powers/Timelock"),
    "src/governance/Timelock.sol": Changed(("Timelock",), "powers/Timelock"),
    "src/faults/FaultProver.sol": Changed(("FaultProver",), PROVER),
    "src/faults/OverCapacity.sol": Changed(("OverCapacity",), "OverCapacity"),
    "src/faults/BreachProver.sol": Changed(("BreachProver",), "Breach,Silence,Shortfall"),
    "src/faults/Evidence.sol": Changed(
        ("FaultProver", "OverCapacity", "BreachProver"), f"{PROVER},Breach,OverCapacity"
    ),
    "src/faults/Commitments.sol": Changed(("FaultProver", "OverCapacity"), f"{PROVER},OverCapacity"),
    "src/faults/AnswerTree.sol": Changed(("FaultProver", "AnswerReveals"), "AnswerReveals,WrongElement", "Element"),
    "src/faults/MatrixProduct.sol": Changed(("FaultProver", "AnswerReveals"), "AnswerReveals,WrongElement", "Element"),
    "src/libraries/XnodeHashes.sol": Changed(
        ("PaymentEscrow", "ProviderRegistry", "CapacityRegistry", "FaultProver"),
        "Opening,GivingBack,Claim,ProviderRegistry,CapacityVerdicts,Equivocation,WrongElement",
        "Vectors",
    ),
}


def draw_order(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """All of one source's in a random order, which the seed and the source's name settle."""
    order = list(mutants)
    for mutant in mutants[:1]:
        random.Random(f"{seed} {mutant.source}").shuffle(order)
    return order


def draw_sample(mutants: list[Mutant], sample: int, seed: int, known: Collection[Mutant]) -> list[Mutant]:
    """At least so many of each source, the first in its drawn order, and those behind them that are known without a gap. The
    sources take turns, so that a run that is stopped has tried as many of each."""
    drawn = []
    for source in dict.fromkeys(mutant.source for mutant in mutants):
        order = draw_order([mutant for mutant in mutants if mutant.source == source], seed)
        behind = order[sample:]
        gap = next((place for place, mutant in enumerate(behind) if mutant not in known), len(behind))
        drawn.append(order[: sample + gap])
    return [mutant for turn in zip_longest(*drawn) for mutant in turn if mutant is not None]
