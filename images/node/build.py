"""Build the image of a node that buys: our own Debian package on what it depends on, without an engine and without a registry.

    python3 -m images.node.build DEB OUT      (from the repository's root, as root, on the Debian that DEB is for)

It runs as an ordinary user over a read-only root; all that it writes is in /home/xnode, which is a volume. Prints one line a
step, and last the image's digest. OUT is keyed by a hash of the recipe and the package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from images.debian import Recipe, build
from images.python.build import COMPILE
from packages.debian.build import list_dependencies

USER = 64_500
"""Of no Debian package and no person."""


def main() -> None:
    """Build as the command line says."""
    if len(sys.argv) != 3:
        sys.exit("usage: python3 -m images.node.build DEB OUT")
    print(build(make_recipe(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).absolute()))


def make_recipe(deb: Path) -> Recipe:
    """What the image is made of. The package's scripts are not run: they make a system user and a service."""
    return Recipe(
        packages=tuple(name for name in list_dependencies(deb) if name != "adduser"),
        hook=f'dpkg-deb -x "{deb}" "$1" && {COMPILE}',
        config={
            "Entrypoint": ["/usr/bin/xnode"],
            "Cmd": ["daemon", "run"],
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/home/xnode", "XNODE_HOME=/home/xnode/node"],
            "Volumes": {"/home/xnode": {}},
            "WorkingDir": "/home/xnode",
            "StopSignal": "SIGTERM",
        },
        folders=(("./home", 0o755, 0), ("./home/xnode", 0o700, USER)),
        sources=(Path(__file__), deb),
    )


if __name__ == "__main__":
    main()
