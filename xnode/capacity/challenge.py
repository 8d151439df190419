"""Challenge: the seeds, sizes and entropy of one challenge, as CapacityRegistry writes them down. Needs no numpy."""

from __future__ import annotations

from hashlib import shake_256

from metering.eip712 import keccak
from metering.units import Hash32

SIZE_STEP = 256
"""n is a multiple of it, so that a row has whole leaves."""

MAX_SIZE = 131_072
"""128 x 128 x n must not leave int32; only a product of nothing but -128 by -128 would reach its end."""

MAX_DEVICES = 1024
MAX_DECLARED = 8
"""Of one challenge: CapacityRegistry takes no more."""

VECTOR_BYTES = 4
"""One element of a random vector: an unsigned number of 32 bits, little-endian."""


def check_size(n: int) -> None:
    """Raises ValueError when there are no matrices of this size."""
    if not (SIZE_STEP <= n <= MAX_SIZE and n % SIZE_STEP == 0):
        raise ValueError(f"n must be a multiple of {SIZE_STEP} up to {MAX_SIZE}, not {n}")


def device_seed_of(challenge_seed: Hash32, device: int) -> Hash32:
    """keccak256(abi.encode(challengeSeed, uint32 device)): the matrices of device number `device`, from 0."""
    return keccak(challenge_seed + device.to_bytes(32, "big"))


def make_vector(vector_seed: Hash32, device: int, n: int) -> bytes:
    """The random vector of a device that both sides make from a verifier's seed: n numbers of VECTOR_BYTES.

    SHAKE-256 of (seed, device), so that no prover finds a seed whose vector hides an error that it has made already.
    """
    return shake_256(vector_seed + device.to_bytes(4, "big")).digest(VECTOR_BYTES * n)
