"""The contracts against a Python model of their ledgers, over random histories: every event, every refusal, every balance.

LEDGER_HISTORIES: how many (make -C contracts test-long runs a thousand); LEDGER_SEED: the first seed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.ledger_chain import ANVIL, ANVIL_LIMITS, Market, Node
from tests.contracts.ledger_history import BEGIN_S, Act, Author, Told, tell_all
from tests.contracts.ledger_state import find_differences
from tests.xnode.chain.devchain import start_anvil

CONTRACTS = Path(__file__).parent.parent.parent / "contracts"
HISTORIES = int(os.environ.get("LEDGER_HISTORIES", "100"))
FIRST_SEED = int(os.environ.get("LEDGER_SEED", "1"))
LENGTH = 110
"""Acts after the first deposits: enough that escrows are opened, claimed, closed and opened again."""

BUILD_DEADLINE_S = 300

pytestmark = [pytest.mark.slow, pytest.mark.chain]


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    built = subprocess.run(
        ["bin/foundry", "forge", "build"], cwd=CONTRACTS, capture_output=True, text=True, timeout=BUILD_DEADLINE_S
    )
    assert built.returncode == 0, built.stdout + built.stderr
    chain = start_anvil(*ANVIL, *ANVIL_LIMITS)
    node = Node(chain.url)
    yield Market(node)
    node.close()
    chain.end()


def test_the_contracts_agree_with_the_model_over_random_histories(market: Market) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + HISTORIES):
        author = Author(seed)
        told = author.write(LENGTH)
        differences = find_disagreement(market, [line.act for line in told])
        if differences:
            shortest = shrink(market, [line.act for line in told])
            pytest.fail(f"seed {seed}:\n" + show(shortest) + "\n" + "\n".join(find_disagreement(market, shortest)))


def test_every_kind_of_act_succeeds_and_is_refused_in_these_histories() -> None:
    """A model and contracts that refuse everything would agree too."""
    done: set[str] = set()
    refused: set[str] = set()
    for seed in range(FIRST_SEED, FIRST_SEED + max(HISTORIES, 100)):
        for line in Author(seed).write(LENGTH):
            (refused if line.error else done).add(line.error or line.act.name)
    assert done >= {
        *(
            "deposit",
            "deposit_with_permit",
            "withdraw",
            "open",
            "open_by_sig",
            "approve_opener",
            "start_thaw",
            "cancel_thaw",
        ),
        *("close", "release", "release_by_sig", "refund", "claim", "claim_one", "withdraw_owed", "withdraw_fees"),
        *("pay_split", "distribute", "withdraw_share", "mint", "burn_at", "redeem", "stop_deposits", "resume_deposits"),
        *("set_ratio", "set_window", "stake", "start_unstake", "withdraw_stake", "slash", "announce", "compensate"),
        "burn_forfeit",
    }
    assert refused >= {
        *("DepositsAreStopped", "ZeroAmount", "NotEnoughFree", "NotPayer", "SignatureExpired", "WrongOpeningSignature"),
        *("NonceAlreadyUsed", "OpenerCapExceeded", "OpenerIsNotSigner", "AlreadyThawing", "NotThawing", "StillThawing"),
        *(
            "EscrowEmpty",
            "ThawStartedByPayer",
            "NotProvider",
            "ReleaseBelowClaimed",
            "WrongReleaseSignature",
            "NotRefunder",
        ),
        *("SplitNotRegistered", "ThawOutOfBounds", "NotPayerOrSigner", "BadRecipient", "Error", "AboveCapacity"),
        *("AboveCollateral", "NotMintable", "NotDefaulted", "FeeOutOfBounds", "ERC20InsufficientBalance"),
        *("StakeHeld", "NotEnoughStake", "NothingThaws", "StakeStillThaws", "NotJudge", "NothingToTake"),
        *(
            "AboveRedeemable",
            "CollateralRatioTooSoon",
            "WindowTooSoon",
            "CollateralRatioOutOfBounds",
            "WindowOutOfBounds",
        ),
    }


def find_disagreement(market: Market, acts: list[Act]) -> list[str]:
    """Lines that say where the contracts differ from the model in this history; none when they agree."""
    ledger, told = tell_all(acts)
    market.begin_again()
    differences: list[str] = []
    for time, block in split_into_blocks(told, ledger.time):
        answers = market.perform([line.act for line in block], time)
        differences += [
            f"{line.act}:\n  contracts {answer}\n  model     {(line.events, line.error)}"
            for line, answer in zip(block, answers, strict=True)
            if answer != (line.events, line.error)
        ]
    return differences + find_differences(market, ledger, acts)


def split_into_blocks(told: list[Told], end: int) -> list[tuple[int, list[Told]]]:
    """What happens at each time, the last time being that of the end."""
    blocks: list[tuple[int, list[Told]]] = [(BEGIN_S, [])]
    for line in told:
        if line.act.name == "wait":
            blocks.append((blocks[-1][0] + line.act.args[0], []))
        else:
            blocks[-1][1].append(line)
    return [(time, block) for time, block in blocks if block or time == end]


def shrink(market: Market, acts: list[Act]) -> list[Act]:
    """The same disagreement in fewer acts: each is left out that is not needed for one."""
    size = len(acts) // 2
    while size:
        at = 0
        while at < len(acts):
            fewer = acts[:at] + acts[at + size :]
            if find_disagreement(market, fewer):
                acts = fewer
            else:
                at += size
        size //= 2
    return acts


def show(acts: list[Act]) -> str:
    return "\n".join(f"{act.caller} {act.name} {act.args}" for act in acts)
