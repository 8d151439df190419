"""Contracts: what people call the contracts of a deployment."""

from __future__ import annotations

CONTRACTS = {
    "token": ("OpenxToken", "openx_token"),
    "registry": ("ProviderRegistry", "provider_registry"),
    "splits": ("SplitRegistry", "split_registry"),
    "randomness": ("RandaoRandomness", "randomness"),
    "verifiers": ("VerifierRegistry", "verifier_registry"),
    "rules": ("ChallengeRules", "challenge_rules"),
    "capacity": ("CapacityRegistry", "capacity_registry"),
    "tgpu": ("ComputeCredit", "gpu_credit"),
    "tcpu": ("ComputeCredit", "cpu_credit"),
    "escrow": ("PaymentEscrow", "payment_escrow"),
    "faults": ("FaultProver", "fault_prover"),
    "overuse": ("OverCapacity", "over_capacity"),
    "breaches": ("BreachProver", "breach_prover"),
    "reveals": ("AnswerReveals", "answer_reveals"),
    "timelock": ("Timelock", "timelock"),
}
"""As people call them: the artifact's name, and the manifest's."""


def list_contracts() -> str:
    """For a sentence: "token, registry, ... or timelock"."""
    *others, last = CONTRACTS
    return f"{', '.join(others)} or {last}"
