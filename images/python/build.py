"""Build the demo image: Debian's python3 and its standard library, as an OCI layout folder. Standard library only.

    python3 -m images.python.build OUT      (from the repository's root, as root, on Debian; needs mmdebstrap)

Prints one line a step, and last the image's digest. OUT is keyed by a hash of the recipe: a second call builds nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from images.debian import Recipe
from images.debian import build as build_from

COMPILE = """chroot "$1" python3 -c "
import compileall, os, py_compile
by_hash = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(os.path.dirname(os.__file__), quiet=1, invalidation_mode=by_hash)
" """
"""The root is read-only at run time: what is not compiled here is compiled at every start. By hash: no times in it."""

RECIPE = Recipe(
    packages=("python3-minimal", "libpython3-stdlib"),
    hook=COMPILE,
    config={
        "Cmd": ["python3"],
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PYTHONUNBUFFERED=1",
        ],
        "WorkingDir": "/work/out",
    },
    folders=(("./work", 0o755, 0), ("./work/in", 0o755, 0), ("./work/out", 0o755, 0)),
    sources=(Path(__file__),),
)


def main() -> None:
    """Build into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python3 -m images.python.build OUT")
    print(build(Path(sys.argv[1]).absolute()))


def build(out: Path) -> str:
    """The image's digest, built into the layout folder `out` unless it is there already."""
    return build_from(RECIPE, out)


if __name__ == "__main__":
    main()
