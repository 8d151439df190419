#!/usr/bin/env python3
"""Writes kernels.ptx from kernels.cu, or with --check compares a fresh build against it.

Providers need no toolkit: the driver compiles the committed PTX for whatever GPU it finds (compute capability 7.5 and newer).
Exit status: 0 done or equal, 1 the committed file differs, 2 there is no nvcc of the version that made it, or it refused.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCE, PTX = FOLDER / "kernels.cu", FOLDER / "kernels.ptx"

ARCH = "compute_75"
"""The oldest that the compiler still writes for: Turing (2018)."""

PTX_VERSION = "6.4"
"""The compiler names its own newest language version, which only the newest drivers take. These kernels need no more than
this, which every driver since 2019 takes; ptxas confirms it."""


class BuildFailed(Exception):
    """There is no compiler, or it refused."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    check = parser.parse_args().check
    try:
        if check and read_release(read_version()) != read_release(PTX.read_text()):
            raise BuildFailed(f"only nvcc {read_release(PTX.read_text())} can rebuild {PTX.name} to the letter")
        text = build()
    except BuildFailed as failed:
        print(failed, file=sys.stderr)
        return 2
    if check:
        if text == PTX.read_text():
            return 0
        print(f"{PTX.name} is not what {SOURCE.name} gives: run {Path(__file__).name}", file=sys.stderr)
        return 1
    PTX.write_text(text)
    return 0


def build() -> str:
    """The PTX that nvcc gives, in the language version that we ask drivers for."""
    with tempfile.TemporaryDirectory(prefix="xnode-ptx-") as folder:
        out = Path(folder) / "kernels.ptx"
        run("nvcc", "-ptx", f"-arch={ARCH}", "-O3", "-o", str(out), str(SOURCE))
        text = re.sub(r"(?m)^\.version .*$", f".version {PTX_VERSION}", out.read_text(), count=1)
        out.write_text(text)
        run("ptxas", f"-arch={ARCH.replace('compute', 'sm')}", "-o", str(Path(folder) / "kernels.cubin"), str(out))
    return text


def read_version() -> str:
    """What nvcc says of itself."""
    return run("nvcc", "--version")


def read_release(text: str) -> str:
    """The compiler's release as it names itself, on the command line and in what it writes."""
    found = re.search(r"release [0-9.]+, V[0-9.]+", text)
    return found.group() if found else "unknown"


def run(program: str, *args: str) -> str:
    """Its standard output."""
    path = shutil.which(program)
    if path is None:
        raise BuildFailed(f"{program} is not installed")
    done = subprocess.run([path, *args], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise BuildFailed(done.stdout + done.stderr)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
