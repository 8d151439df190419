"""Chains: what differs between the kinds of chains that the contracts can live on, as far as a deployment must know it."""

from __future__ import annotations

from typing import NamedTuple

DEVNET = "devnet"

DAY_S = 86_400

RANDAO_LOOKAHEAD_S = 4 * 32 * 12
"""Four epochs of Ethereum, EIP-4399's own advice: who proposes the block that is drawn in is not known before."""

SEQUENCER_DRIFT_S = 1_800
"""How far a block of the OP stack may be ahead of the Ethereum block whose randomness it carries (Fjord)."""

OPENING_BLOCKS = 4
"""Blocks that an opening may take beside its confirmations: to reach a full pool's front, and one repair of its fee."""

OPENING_MOST_S = 300.0
"""However slow the chain: a provider works unpaid for so long at most. Twelve confirmations of Ethereum take 192 s."""


LATE_DRAWS = 2
"""Draws to choose from for one fee of who makes no blocks: some honest verifiers' come in the first block that may, or in the
next (on the OP stack: while the same Ethereum block's randomness holds, or the next one's)."""

BLOCK_MAKER_DRAWS = 4 * LATE_DRAWS
"""Of the maker of a third of all blocks, who may also leave out each block of a run around the draw. A run on either side of it
has k blocks with probability (1/3)^k x 2/3, and gives 2^k choices: 2 x 2 on average."""


class Chain(NamedTuple):
    """One kind of chain. The table with sources: docs/deployment.md.

    ids: of its known members; block_ms: how often blocks come, None where members differ; number_ms: how often a contract's
    block.number grows, None where every block counts; draw_delay_s: from a request on, until prevrandao cannot be known; None
    where prevrandao is not random at all; settle_s: after which a block goes back only by a fault of the chain;
    inclusion_s: how long a sequencer can keep a transaction out; draws: that an attack may choose from for one fee, by who
    makes a third of all blocks, or any but the sequencer where one makes all.
    """

    ids: frozenset[int]
    block_ms: int | None
    number_ms: int | None
    draw_delay_s: int | None
    settle_s: int
    inclusion_s: int
    draws: int


CHAINS = {
    "ethereum": Chain(frozenset({1, 11_155_111, 560_048}), 12_000, None, RANDAO_LOOKAHEAD_S, 144, 0, BLOCK_MAKER_DRAWS),
    # Base makes five blocks a second, OP Mainnet one in two. prevrandao is that of an Ethereum block which may be old.
    "op-stack": Chain(
        frozenset({10, 8_453, 84_532, 11_155_420}),
        None,
        None,
        SEQUENCER_DRIFT_S + RANDAO_LOOKAHEAD_S,
        60,
        DAY_S // 2,
        LATE_DRAWS,
    ),
    # prevrandao is the block's difficulty, 1 or 2.
    "bnb": Chain(frozenset({56, 97}), 450, None, None, 15, 0, BLOCK_MAKER_DRAWS),
    # block.number is Ethereum's, and prevrandao always the same.
    "arbitrum": Chain(frozenset({42_161, 42_170, 421_614}), 250, 12_000, None, 60, DAY_S, LATE_DRAWS),
    DEVNET: Chain(frozenset({31_337}), 1_000, None, 0, 0, 0, LATE_DRAWS),
}


def find_chain_of(chain_id: int) -> str | None:
    """The kind of chain that has this id; None of one that is not known."""
    return next((name for name, chain in CHAINS.items() if chain_id in chain.ids), None)
