"""The plan of a deployment as a file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from metering.units import ZERO_ADDRESS, Address, Amount
from xnode.chain.deployment.manifest import Asset
from xnode.chain.deployment.plan import Supply, check_chain, check_owned, check_pace, read_plan
from xnode.errors import UserError

EXAMPLE = Path(__file__).parents[4] / "contracts" / "plan.example.toml"
TOKEN = 10**18


def test_the_example_is_a_plan() -> None:
    plan = read_plan(EXAMPLE)
    assert plan.openx.supply == 10**9 * TOKEN
    assert plan.governance.executors == (ZERO_ADDRESS,)
    assert plan.credits.cpu_collateral == TOKEN // 20
    settings, classes = plan.make_rules_values()
    assert settings[:5] == (128, 31, 25, 7, 10) and settings[-2:] == (5 * TOKEN, TOKEN // 40)
    assert plan.make_verifier_values() == (1_814_400, 20_000 * TOKEN)
    assert (plan.chain, plan.block_ms, plan.confirmations) == ("ethereum", 12_000, 12)
    assert [one[:3] for one in classes] == [("cpu", 1, 1000), ("gpu-80g", 0, 1000)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"0.05"', "0.05", "credits.cpu_collateral"),
        ('"0.05"', '"much"', "credits.cpu_collateral"),
        ("0000C1", "0000C", "governance: guardian"),
        ("window_hours = 720", "window = 720", "credits"),
        ('name = "gpu-80g"', 'name = "cpu"', "classes must not have the same name twice"),
        ("0000B1", "000000", "proposers must not name the zero address"),
        ("delay_s = 172_800", 'delay_s = "long"', "governance.delay_s"),
        ('kind = "cpu"', 'kind = "tpu"', "classes[0].kind"),
        ("confirmation_s = 144", "confirmation_s = 0", "confirmation_s"),
        ("confirmation_s = 144", "confirmations = 12", "write confirmation_s"),
        ("confirmation_s = 144", "", "confirmation_s is missing"),
        ("draw_delay_s = 1_536", "draw_delay_blocks = 4", "write draw_delay_s"),
        ("draw_delay_s = 1_536", 'draw_delay_s = "long"', "draw_delay_s"),
        ('chain = "ethereum"', 'chain = "solana"', "chain 'solana' is not known"),
        ('chain = "ethereum"', "", "for which chain"),
        ('chain = "ethereum"', 'chain = "op-stack"', "block_ms is missing"),
        ('chain = "ethereum"', 'chain = "arbitrum"', "escrow_min_thaw_s is 86400 s, too short"),
        ("escrow_min_thaw_s = 86_400", "escrow_min_thaw_s = 3_600", "set at least 86400"),
        ("[capacity]", "[capacities]", "capacity must be a table"),
        ('chain = "ethereum"', 'chain = "bnb"', "chain is bnb, where prevrandao is no random number"),
        ("[openx]", "[openx", "not TOML"),
        ("quorum = 25", "", "quorum"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, before: str, after: str, told: str) -> None:
    text = EXAMPLE.read_text()
    assert before in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(UserError) as caught:
        read_plan(path)
    assert told in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "what", "hint"),
    [
        ("delay_s = 172_800", 'delay_s = "long"', "governance.delay_s: must be a whole number, not text in quotes", ""),
        ("quorum = 25", "quorum = 25.5", "capacity.quorum: must be a whole number, not a number with a fraction", ""),
        ("quorum = 25", "", "capacity.quorum: required key is missing", "add it: see contracts/plan.example.toml"),
        ("quorum = 25", "qorum = 25", "capacity.qorum: unknown key", "did you mean quorum?"),
        ("window_hours = 720", "window_hours = 720\ncolour = 1", "credits.colour: unknown key", "remove it: see contracts"),
        ("[credits]", "[credit]", "credit: unknown key", "did you mean credits?"),
        ('kind = "cpu"', 'kind = "tpu"', "classes[0].kind: must be one of gpu, cpu, not 'tpu'", ""),
        ('name = "gpu-80g"', "name = 80", "classes[1].name: must be text in quotes, not a whole number", ""),
        ('"0.05"', "0.05", 'credits.cpu_collateral: write amounts of OPENX as text, like "12.5"', ""),
        ('"0x00000000000000000000000000000000000000C1"', '"me"', "governance.guardian: must be an address, 0x and 40", ""),
        ('["0x0000000000000000000000000000000000000000"]', "7", "governance.executors: must be a list, not a whole", ""),
        ('"0x0000000000000000000000000000000000000000"', "7", "governance.executors[0]: must be an address, 0x and 40", ""),
        ("window_hours = 720", "window_hours = 1979-05-27", "credits.window_hours: must be a whole number, not a date", ""),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named_by_its_line_in_our_own_words(
    tmp_path: Path, before: str, after: str, what: str, hint: str
) -> None:
    path, text = tmp_path / "plan.toml", EXAMPLE.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(UserError) as caught:
        read_plan(path)
    error = caught.value
    # A key that is not there has its table's line.
    line = text[: text.index(before if after else "[capacity]")].count("\n") + len((after or "[capacity]").splitlines())
    assert error.where == f"{path}:{line}"
    assert error.what.startswith(what) and error.hint.startswith(hint or "see contracts/plan.example.toml")
    for word in ("Expected", "Object", "`", "$", "field"):
        assert word not in error.what


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("delay_s = 172_800", "delay_s = -1", "governance.delay_s: must be between 0 and 31536000, not -1"),
        ("stake_thaw_s = 1_209_600", "stake_thaw_s = 99999999999", "stake_thaw_s: must be between 1 and 7776000, not"),
        ("quorum = 25", "quorum = 256", "capacity.quorum: must be between 1 and 255, not 256"),
        ("draw_delay_s = 1_536", "draw_delay_s = 9_999_999", "capacity.draw_delay_s: must be between 1 and 65535 blocks"),
        ('"0.05"', '"0"', "credits.cpu_collateral: must be between 0.000001 and 1000000 OPENX, not 0"),
        ("n = 16_384 ", "n = 999_999 ", "classes[0].n: must be between 1 and 131072, not 999999"),
    ],
)  # fmt: skip
def test_a_number_that_no_contract_takes_is_named_with_its_bounds(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    path, text = tmp_path / "plan.toml", EXAMPLE.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(UserError) as caught:
        read_plan(path)
    line = text[: text.index(before)].count("\n") + 1
    assert caught.value.where == f"{path}:{line}" and caught.value.what.startswith(what) and caught.value.hint


def test_an_address_that_nobody_has_the_key_of_is_named() -> None:
    plan = read_plan(EXAMPLE)
    with pytest.raises(
        UserError, match=r"openx\.holder is 0x00000000000000000000000000000000000000A1, as in the example"
    ):
        check_owned(plan, "plan.toml")
    mine = Address(b"\x11" * 20)
    rule = msgspec.structs.replace(plan.governance, proposers=(mine,), guardian=ZERO_ADDRESS)
    owned = msgspec.structs.replace(plan, openx=Supply(mine, plan.openx.supply), governance=rule)
    check_owned(owned, "plan.toml")
    with pytest.raises(UserError, match=r"openx\.holder is the zero address"):
        check_owned(msgspec.structs.replace(owned, openx=Supply(ZERO_ADDRESS, plan.openx.supply)), "plan.toml")
    # Where bridges bring it nobody gets anything.
    check_owned(msgspec.structs.replace(owned, openx=Supply(ZERO_ADDRESS, Amount(0))), "plan.toml")
    with pytest.raises(UserError, match=r"assets\[0\].address is the zero address"):
        check_owned(msgspec.structs.replace(owned, assets=(Asset("USD", 6, ZERO_ADDRESS),)), "plan.toml")


def test_another_plan_has_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(EXAMPLE.read_text().replace("quorum = 25", "quorum = 26"))
    assert read_plan(path).digest() != read_plan(EXAMPLE).digest()
    assert read_plan(EXAMPLE).digest() == read_plan(EXAMPLE).digest()


@pytest.mark.parametrize(
    ("chain", "block_ms", "blocks"),
    [
        ("devnet", 1_000, (1_536, 144)),
        ("devnet", 200, (7_680, 720)),
        ("devnet", 7_000, (220, 21)),
    ],
)
def test_seconds_are_counted_in_blocks_of_the_chain(
    tmp_path: Path, chain: str, block_ms: int, blocks: tuple[int, int]
) -> None:
    plan = read_plan(write_plan(tmp_path, chain, f"block_ms = {block_ms}"))
    assert (plan.capacity.draw_delay_blocks, plan.confirmations) == blocks


def test_a_plan_goes_to_no_other_kind_of_chain() -> None:
    plan = read_plan(EXAMPLE)
    check_chain(plan, 1, "node")
    check_chain(plan, 4242, "node")
    with pytest.raises(UserError, match="chain 8453 is op-stack"):
        check_chain(plan, 8453, "node")
    with pytest.raises(UserError, match="chain 31337 is devnet"):
        check_chain(plan, 31337, "node")


def test_blocks_that_come_faster_than_the_plan_counts_on_are_refused() -> None:
    plan = read_plan(EXAMPLE)
    check_pace(plan, [0, 12, 24, 36], "node")
    check_pace(plan, [0, 600, 1200, 1800], "node")
    check_pace(plan, [0, 1], "node")
    with pytest.raises(UserError, match="every 500 ms or faster") as caught:
        check_pace(plan, [0, 0, 1, 1, 2, 2, 3, 3, 3], "node")
    assert caught.value.hint == "set block_ms to 500 or less"


def write_plan(folder: Path, chain: str, line: str) -> Path:
    """The example's, of that chain, with one line more."""
    path = folder / "plan.toml"
    path.write_text(EXAMPLE.read_text().replace('chain = "ethereum"', f'chain = "{chain}"\n{line}', 1))
    return path
