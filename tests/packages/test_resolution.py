"""The locked versions are to be had for every Python and both processors, compiled where that is said and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from packages.lock import make_constraints, pins_of

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
DEADLINE_S = 300

NOT_REACHED = ("Could not connect", "Failed to fetch", "error sending request", "dns error", "timed out")

COMPILED = ("fastecdsa",)
"""libp2p's, which has no wheel for Linux: it needs a compiler, which docs/install.md names for each distribution."""

PLAIN = ("python-baseconv", "varint")
"""Of Python alone, published as source: nothing is compiled."""


def resolve(folder: Path, python: str, machine: str) -> subprocess.CompletedProcess[str]:
    """What uv would install, from wheels alone but for what is compiled: from its cache when that has all of it."""
    (folder / "constraints.txt").write_text(make_constraints(ROOT))
    wheels = [
        f"--only-binary={pin.name}" for pin in pins_of(ROOT, all_extras=True) if pin.name not in (*COMPILED, *PLAIN)
    ]
    command = [
        str(UV), "pip", "compile", "-q", "--no-header", "--no-annotate", "--extra", "all", "-c", str(folder / "constraints.txt"),
        "--python-version", python, "--python-platform", f"{machine}-manylinux_2_28", *wheels, str(ROOT / "pyproject.toml"),
    ]  # fmt: skip
    for more in (["--offline"], []):
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=folder
        )
        if done.returncode == 0:
            break
    if done.returncode and any(word in done.stderr for word in NOT_REACHED):
        pytest.skip("the package index is not reached")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_locked_version_is_to_be_had(tmp_path: Path, python: str, machine: str) -> None:
    done = resolve(tmp_path, python, machine)
    assert done.returncode == 0, done.stderr
    resolved = {line.partition(" ")[0] for line in done.stdout.splitlines() if "==" in line}
    assert resolved <= {f"{pin.name}=={pin.version}" for pin in pins_of(ROOT, all_extras=True)}
    assert len(resolved) > 80
