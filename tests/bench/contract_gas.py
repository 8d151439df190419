"""Bench of gas: real transactions on a fresh chain node, against figures published for others; writes docs/gas.md."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench.row import Row, judge

TARGET_PER_ROW = 13_500
X402_PER_ROW = 21_900
"""Of a batch settlement of x402 with 100 rows."""

_SHOWN = ("deposit, again", "open an escrow", "open by an opener's signature", "claim 1", "close", "withdraw")
_WAIT_S = 300


def run(say: Callable[[str], None] = print) -> list[Row]:
    """The row that has a target, then what else the main flow sends."""
    say("gas: a fresh chain node, some hundred transactions")
    command = ["node", "script/gas.mjs", "../docs/gas.md"]
    subprocess.run(command, cwd="contracts", capture_output=True, timeout=_WAIT_S, check=True)
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in Path("docs/gas.md").read_text().splitlines()
    ]
    gas = {row[0]: (row[1], row[2]) for row in cells if len(row) == 3}
    a_row = int(gas["claim 100, again"][1].replace(",", ""))
    first = Row(
        what="gas a claimed row, batch of 100",
        ours=f"{a_row:,} gas, 164 bytes",
        other=f"x402 batch: {X402_PER_ROW:,} gas, 480 bytes (published)",
        ratio=f"{X402_PER_ROW / a_row:.2g}x",
        target=f"<= {TARGET_PER_ROW:,} gas, <= 164 bytes",
        verdict=judge(a_row <= TARGET_PER_ROW),
    )
    return [first, *(Row(what=f"gas: {name}", ours=f"{gas[name][0]} gas") for name in _SHOWN)]
