"""Versions: wheels of this tree as it is, of a next version, and of one that does not come up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNNEEDED = (":!tests", ":!docs", ":!contracts/src", ":!nix")
"""Of what git tracks, no part of a wheel."""

BROKEN = '    raise AssertionError("a version that does not come up")\n'
"""Put first into run_daemon: the daemon ends each time it is started."""


def read_version() -> str:
    """Of this tree."""
    return str(re.findall(r'__version__ = "(.+)"', (ROOT / "xnode/__init__.py").read_text())[0])


def find_next(version: str, steps: int) -> str:
    """So many patch versions later."""
    start, _, last = version.rpartition(".")
    return f"{start}.{int(last) + steps}"


def make_wheel(out: Path, version: str, is_broken: bool = False) -> Path:
    """A wheel of this tree under this version."""
    tree = out / f"tree-{version}"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    command = ["git", "ls-files", "-z", "--", ".", *UNNEEDED]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    init = tree / "xnode/__init__.py"
    init.write_text(re.sub(r'__version__ = ".+"', f'__version__ = "{version}"', init.read_text()))
    if is_broken:
        daemon = tree / "xnode/daemon.py"
        text = daemon.read_text()
        assert "    notifier = take_notifier()\n" in text
        daemon.write_text(text.replace("    notifier = take_notifier()\n", f"{BROKEN}    notifier = take_notifier()\n"))
    uv = Path(sys.executable).with_name("uv")
    build = [
        uv,
        "build",
        "-q",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        out / "wheels",
        tree,
    ]
    subprocess.run([str(word) for word in build], check=True, timeout=300)
    shutil.rmtree(tree)
    (wheel,) = (out / "wheels").glob(f"xnode-{version}-*.whl")
    return wheel
