"""The tools that judge the contracts' tests: which changes they make, and what they count as a branch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "contracts" / "script"
SOURCE = "src/Small.sol"
CODE = b"""// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;
contract Small {
    error TooMuch(uint256 asked, uint256 most);
    event Kept(uint256 amount, uint256 sum);
    uint256 public kept;
    modifier once() { _; }
    function keep(uint256 amount, bool really) external once returns (uint256) {
        if (amount > 10) revert TooMuch(amount, 10);
        if (really) kept += amount;
        emit Kept(amount, kept);
        assembly { sstore(7, add(amount, 1)) }
        return kept;
    }
}
"""

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def tools() -> Iterator[Any]:
    """The scripts as modules: they are no package, and import each other by name."""
    sys.path.insert(0, str(SCRIPTS))
    import coverage as contract_coverage
    import mutant_plan
    import mutant_source
    import workbench

    yield contract_coverage, mutant_source, workbench, mutant_plan
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def tree(tools: Any) -> Any:
    compiler = tools[2].Compiler(SCRIPTS.parent)
    yield compiler.parse(SOURCE, CODE)
    compiler.close()


def test_a_mutant_is_made_of_every_small_change(tools: Any, tree: Any) -> None:
    made = {(mutant.operator, mutant.after) for mutant in tools[1].make_mutants(SOURCE, CODE, tree)}
    assert made >= {
        ("boundary", "if (amount >= 10) revert TooMuch(amount, 10);"),
        ("condition", "if (false) revert TooMuch(amount, 10);"),
        ("constant", "if (amount > 11) revert TooMuch(amount, 10);"),
        ("arguments swapped", "emit Kept(kept, amount);"),
        ("condition", "if (true) kept += amount;"),
        ("assignment", "if (really) kept -= amount;"),
        ("statement removed", "if (really) 0;"),
        ("event removed", "0;"),
        ("modifier removed", "function keep(uint256 amount, bool really) external returns (uint256) {"),
        ("opcode", "assembly { sstore(7, sub(amount, 1)) }"),
        ("statement removed", "assembly { {} }"),
        ("return value", "return 0;"),
    }


def test_a_mutant_differs_in_its_place_alone_and_keeps_its_key_when_comments_change(tools: Any, tree: Any) -> None:
    commented = CODE.replace(b"        emit", b"        // Why.\n        emit")
    for mutant in tools[1].make_mutants(SOURCE, CODE, tree):
        changed = mutant.apply(CODE)
        assert changed[: mutant.start] == CODE[: mutant.start]
        assert changed.endswith(CODE[mutant.end :])
        assert changed != CODE
        assert mutant.key(commented) == mutant.key(CODE)
        assert mutant.key(changed) != mutant.key(CODE)


def test_every_source_is_changed(tools: Any) -> None:
    sources = (SCRIPTS.parent / "src").glob("*/*.sol")
    rooms = {source.relative_to(SCRIPTS.parent).as_posix() for source in sources}
    left_out = {room for room in rooms if room not in tools[3].SOURCES}
    assert {room for room in left_out if not room.startswith("src/interfaces/")} == set()


def test_a_sample_is_the_same_for_one_seed_and_grows_with_its_size_and_with_what_is_known(
    tools: Any, tree: Any
) -> None:
    mutants = tools[1].make_mutants(SOURCE, CODE, tree)
    draw = tools[3].draw_sample
    four, five = draw(mutants, 4, 1, ()), draw(mutants, 5, 1, ())
    assert four == five[:4]
    assert four != draw(mutants, 4, 2, ())
    assert draw(mutants, 3, 1, five[3:5]) == five
    assert draw(mutants, 3, 1, five[4:5]) == five[:3]
    assert sorted(draw(mutants, 1000, 1, ()), key=mutants.index) == mutants


def test_both_ways_of_every_if_are_marked_and_no_line_moves(tools: Any, tree: Any) -> None:
    marks = tools[0].find_marks(tree, CODE)
    marked = CODE
    for place, text in sorted(marks, key=lambda mark: mark[0], reverse=True):
        marked = marked[:place] + text + marked[place:]
    assert b"if (amount > 10) { true; revert TooMuch(amount, 10); } else { true; }\n" in marked
    assert b"if (really) { true; kept += amount; } else { true; }\n" in marked
    assert marked.count(b"\n") == CODE.count(b"\n")


def test_a_branch_that_no_test_takes_is_told(tools: Any) -> None:
    trace = "SF:src/Small.sol\nDA:9,3\nBRDA:9,0,0,0\nBRDA:9,0,1,3\nend_of_record"
    (source,) = tools[0].read_trace(trace)
    assert source.branches == {(9, "0", "0"): 0, (9, "0", "1"): 3}
    assert tools[0].show(source.branches) == "50.0 % 1/2"
    assert not source.is_complete


@pytest.mark.parametrize(
    ("trace", "complete"),
    [
        ("DA:9,3\nFNDA:1,keep\nBRDA:9,0,0,2", True),
        ("DA:9,3\nDA:10,0\nFNDA:1,keep", False),
        ("DA:9,3\nFNDA:0,keep", False),
        ("DA:9,3\nFNDA:1,keep\nBRDA:9,0,1,-", False),
    ],
)
def test_a_source_is_complete_by_its_lines_functions_and_branches(tools: Any, trace: str, complete: bool) -> None:
    (source,) = tools[0].read_trace(f"SF:src/Small.sol\n{trace}\nend_of_record")
    assert source.is_complete is complete
