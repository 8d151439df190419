"""Powers: everything that docs/contracts.md says a role may never do has a forge test of that name, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnode.chain.deployment.wiring import PROVIDER_MOST_PPM, VERIFIER_MOST_PPM

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contracts.md"
SOURCES = ROOT / "contracts" / "src"
TESTS = ROOT / "contracts" / "test" / "powers"


def read_claims(page: str) -> list[tuple[str, str]]:
    """(who, what it may never do) for every sentence of the table of powers, in the page's order, without what is in brackets."""
    table = page.partition("## Powers, all of them")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!who \|)(.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    return [
        (_drop_brackets(who), claim.strip())
        for who, _, never in rows
        for claim in _drop_brackets(never).split(";")
        if claim.strip()
    ]


def name_test(who: str, claim: str) -> str:
    """How the test of a claim is called."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", f"{who} may never {claim}").replace("'", "")
    return "test_" + "_".join(re.findall(r"[a-z0-9]+", words.lower()))


def list_tests(source: str) -> list[str]:
    """Names of the tests that a forge source has, without those that are commented out."""
    return re.findall(r"^    function (test_\w+)\(\)\s+(?:external|public)\b", source, re.MULTILINE)


def list_governed(source: str) -> list[str]:
    """Names of the functions that only an owner, or one of our own contracts, may call."""
    heads = re.findall(r"function (\w+)\(([^{;]*)\{", source)
    return [name for name, head in heads if re.search(r"\bonly[A-Z]\w+", head)]


def _drop_brackets(text: str) -> str:
    return re.sub(r"\s*\([^)]*\)", "", text)


@pytest.fixture(scope="module")
def tried() -> str:
    """All of contracts/test/powers/."""
    return "\n".join(path.read_text() for path in sorted(TESTS.glob("*.sol")))


def test_everything_that_a_role_may_never_do_has_a_test_named_after_it(tried: str) -> None:
    named = {name_test(*claim) for claim in read_claims(PAGE.read_text())}
    assert len(named) >= 28
    assert named - set(list_tests(tried)) == set()


def test_a_test_of_powers_is_named_by_the_page(tried: str) -> None:
    of_roles = {name for name in list_tests(tried) if "_may_never_" in name}
    assert of_roles - {name_test(*claim) for claim in read_claims(PAGE.read_text())} == set()


def test_every_row_of_the_page_is_read() -> None:
    table = PAGE.read_text().partition("## Powers, all of them")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len({who for who, _ in read_claims(PAGE.read_text())}) == len(rows) - 1


def test_every_governed_function_is_tried_by_those_who_may_not(tried: str) -> None:
    governed = {name for path in SOURCES.rglob("*.sol") for name in list_governed(path.read_text())}
    assert len(governed) >= 16
    untried = {name for name in governed if not re.search(rf"encodeCall\(\s*\w+\.{name},", tried)}
    assert untried == set()


def test_the_ceilings_are_those_of_a_deployment(tried: str) -> None:
    claims = " ".join(re.findall(r"ceiling in a penalty period \(([^)]*)\)", PAGE.read_text()))
    assert claims == "half of a provider's stake, all of a verifier's pledge"
    assert (PROVIDER_MOST_PPM, VERIFIER_MOST_PPM) == (500_000, 1_000_000)


PAGE_OF_TWO = """
## Powers, all of them

| who | may | may never |
|---|---|---|
| a king (of cards) | reign | take a trick; lead, or follow (but in hearts; or spades) |
| PageBoy | serve | rule |

## Each contract
"""


def test_sentences_are_told_apart_and_named() -> None:
    claims = read_claims(PAGE_OF_TWO)
    assert claims == [("a king", "take a trick"), ("a king", "lead, or follow"), ("PageBoy", "rule")]
    assert [name_test(*claim) for claim in claims] == [
        "test_a_king_may_never_take_a_trick",
        "test_a_king_may_never_lead_or_follow",
        "test_page_boy_may_never_rule",
    ]


def test_a_test_that_is_commented_out_is_none() -> None:
    source = (
        "    function test_a() external {}\n    // function test_b() external {}\n    function test_c() private {}\n"
    )
    assert list_tests(source) == ["test_a"]


def test_a_governed_function_is_seen_also_over_several_lines() -> None:
    source = "function a() external onlyOwner {}\nfunction b(uint256 x)\n external\n onlyCapacity\n{}\nfunction c() external {}"
    assert list_governed(source) == ["a", "b"]
