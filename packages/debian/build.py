"""Build the package of one Debian release: a virtual environment with the locked libraries, from a wheel. The same bytes twice.

    python -m packages.debian.build WHEEL SUITE [OUT]      (from the repository's root, as root; see `make deb`)

Prints the package's path. Libraries come from the package index by the hashes of requirements.lock; the few that have no wheel
for this Python are compiled in a root of that release, with nothing in them of the place and time of the build.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packages.debian.root import CERTIFICATES, SUITES, make_root, run_in, say, unpack
from packages.lock import pins_of

ROOT = Path(__file__).resolve().parents[2]
PARTS = Path(__file__).parent / "parts"
CACHE = ROOT / ".cache" / "deb"

BUILD_PACKAGES = ("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "libgmp-dev", "ca-certificates")

PREFIX = "usr/lib/xnode"
UNITS = "xnode/install/*.service"
"""Of the wheel: xnode.service is a provider's, the others are named after what they run."""

RECOMMENDS = ("podman", "crun", "conmon", "uidmap", "nftables", "iproute2", "e2fsprogs", "mount")
"""What a provider runs; a submitter needs none of it."""

COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/xnode",
    "zsh": "usr/share/zsh/vendor-completions/_xnode",
    "fish": "usr/share/fish/vendor_completions.d/xnode.fish",
}

DESCRIPTION = """node daemon of a decentralized compute marketplace
 Buy and sell compute: no operator holds funds, matches jobs or stores data.
 A submitter needs this package alone; a provider needs what it recommends.
 .
 Its libraries lie beside it in /usr/lib/xnode, in the versions that it was
 tested with."""

REPRODUCIBLE = {"CFLAGS": "-g0 -O2", "LDFLAGS": "-Wl,--build-id=none", "PYTHONHASHSEED": "0"}


def main() -> None:
    """Build as the command line says."""
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in SUITES:
        sys.exit(f"usage: python -m packages.debian.build WHEEL {'|'.join(SUITES)} [OUT]")
    out = Path(sys.argv[3]) if len(sys.argv) == 4 else ROOT / "build" / "dist"
    print(build(Path(sys.argv[1]).resolve(), sys.argv[2], out.absolute()))


def build(wheel: Path, suite: str, out: Path) -> Path:
    """The package, in the folder `out`."""
    base = make_root(suite, BUILD_PACKAGES, CACHE)
    with tempfile.TemporaryDirectory(prefix="xnode-deb-", dir=CACHE) as folder:
        root, tree = unpack(base, Path(folder, "root")), Path(folder, "tree")
        install(wheel, root, CACHE / f"uv-{suite}")
        say("laying out the package")
        version = f"{wheel.name.split('-')[1]}-1+deb{SUITES[suite]}"
        lay_out(root, tree)
        control = make_control(root, tree, version)
        write_control(tree, control)
        return pack(tree, out, version, _ask(root, "dpkg", "--print-architecture"))


def install(wheel: Path, root: Path, cache: Path) -> None:
    """The environment below PREFIX, with the wheel and every library that it can use, in a root of Debian. cache: uv's."""
    say("installing the locked libraries")
    run_in(root, ["python3", "-m", "venv", "--without-pip", f"/{PREFIX}"])
    (root / "in").mkdir()
    shutil.copy(wheel, root / "in")
    shutil.copy(Path(__file__).parent / "build-tools.txt", root / "in")
    locked = (
        f"{pin.requirement} {' '.join(f'--hash=sha256:{one}' for one in pin.hashes)}"
        for pin in pins_of(ROOT, all_extras=True)
    )
    (root / "in" / "locked.txt").write_text("\n".join(locked) + "\n")
    uv = Path(sys.executable).with_name("uv")
    # Of this release alone: elsewhere the same libraries may have been compiled otherwise.
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("UV_")},
        **REPRODUCIBLE,
        "UV_CACHE_DIR": "/uv-cache",
        "UV_LINK_MODE": "copy",
        "SSL_CERT_FILE": str(CERTIFICATES),
        "SOURCE_DATE_EPOCH": str(source_date()),
    }
    binds = {uv: "/uv", cache: "/uv-cache"}
    python = ["--python", f"/{PREFIX}/bin/python"]
    tools = ["--build-constraints", "/in/build-tools.txt"]
    sync = ["/uv", "pip", "install", "-q", *python, *tools, "--no-deps", "--require-hashes", "-r", "/in/locked.txt"]
    run_in(root, sync, binds=binds, environment=environment)
    # By its name from a folder: an installation from a file would keep that file's path. And never another build's of the
    # same version, which uv may have kept.
    ours = [
        "/uv",
        "pip",
        "install",
        "-q",
        "--no-cache",
        *python,
        "--no-deps",
        "--no-index",
        "--find-links",
        "/in",
        "xnode",
    ]
    run_in(root, ours, binds=binds, environment=environment)
    forget_time(root)
    say("compiling")
    # Here and not where it is installed, which takes a minute there. One process, because what comes first shows in the bytes.
    compile_all = [
        f"/{PREFIX}/bin/python",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        f"/{PREFIX}/lib",
    ]
    # Some libraries bring templates and tests that are no Python of this version.
    run_in(root, compile_all, environment=environment, check=False)


def forget_time(root: Path) -> None:
    """Take away what uv notes of when it installed, also from the list of installed files."""
    for note in (root / PREFIX).glob("lib/python3*/site-packages/xnode-*.dist-info/uv_cache.json"):
        note.unlink()
        record = note.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if f"/{note.name}," not in line))


def lay_out(root: Path, tree: Path) -> None:
    """The package's files, as they lie when it is installed."""
    shutil.copytree(root / PREFIX, tree / PREFIX, symlinks=True)
    link = tree / "usr/bin/xnode"
    link.parent.mkdir(parents=True)
    link.symlink_to("../lib/xnode/bin/xnode")
    for shell, place in COMPLETIONS.items():
        _write(tree / place, _ask(root, f"/{PREFIX}/bin/xnode", "completion", shell) + "\n")
    manual = tree / "usr/share/man/man1/xnode.1.gz"
    _write(
        manual,
        gzip.compress((_ask(root, f"/{PREFIX}/bin/python", "-m", "xnode.cli.manual") + "\n").encode(), 9, mtime=0),
    )
    _write(tree / "usr/share/doc/xnode/copyright", (PARTS / "copyright").read_text())
    _write(tree / "usr/share/doc/xnode/changelog.gz", gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), 9, mtime=0))
    for unit in (tree / PREFIX).glob(f"lib/python3*/site-packages/{UNITS}"):
        name = unit.name if unit.stem == "xnode" else f"xnode-{unit.name}"
        _write(tree / "usr/lib/systemd/system" / name, unit.read_text())


def make_control(root: Path, tree: Path, version: str) -> str:
    """The control file; dependencies are read from what was built."""
    minor = int(_ask(root, "python3", "-c", "import sys; print(sys.version_info[1])"))
    libraries = find_libraries(root)
    size = sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    depends = [f"python3 (>= 3.{minor})", f"python3 (<< 3.{minor + 1})", "adduser", "ca-certificates", *libraries]
    fields = {
        "Package": "xnode",
        "Version": version,
        "Architecture": _ask(root, "dpkg", "--print-architecture"),
        "Maintainer": "the xnode authors <xnode@localhost>",
        "Installed-Size": str(size // 1024),
        "Depends": ", ".join(depends),
        "Recommends": ", ".join(RECOMMENDS),
        "Section": "net",
        "Priority": "optional",
        "Description": DESCRIPTION,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def find_libraries(root: Path) -> list[str]:
    """The Debian packages of the shared libraries that the environment's own load, and the least version of libc."""
    loaded = _ask(root, "sh", "-c", f"find /{PREFIX} -name '*.so*' -type f -exec ldd {{}} + 2>/dev/null || true")
    places = set(re.findall(r"=> (/\S+)", loaded))
    names = sorted({Path(place).name for place in places if not place.startswith(f"/{PREFIX}/")})
    # By their names: where /lib is a link, the package manager still knows some under the old place.
    owners = _ask(root, "dpkg-query", "-S", *(f"*/{name}" for name in names)).splitlines()
    packages = sorted({line.partition(":")[0] for line in owners} - {"libc6-dev", "libc6-dbg"})
    libc = _ask(root, "dpkg-query", "-W", "-f", "${Version}", "libc6")
    return [f"libc6 (>= {_upstream(libc)})" if name == "libc6" else name for name in packages]


def _upstream(version: str) -> str:
    return re.sub(r"^\d+:", "", version).partition("-")[0]


def write_control(tree: Path, control: str) -> None:
    """The package's control folder: its fields, its scripts, its files' checksums."""
    folder = tree / "DEBIAN"
    _write(folder / "control", control)
    for name in ("postinst", "prerm", "postrm"):
        _write(folder / name, (PARTS / name).read_text())
        (folder / name).chmod(0o755)
    files = sorted(
        path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and folder not in path.parents
    )
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files)
    _write(folder / "md5sums", "".join(sums))


def pack(tree: Path, out: Path, version: str, architecture: str) -> Path:
    """The package file: owned by root, with the source's date and no other, packed by one thread."""
    epoch = source_date()
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"xnode_{version}_{architecture}.deb"
    say(f"packing {target.name}")
    command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--threads-max=1", "--build", str(tree), str(target)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=900)
    say(f"{target.stat().st_size / 1e6:.1f} MB, sha256 {hashlib.sha256(target.read_bytes()).hexdigest()}")
    return target


def list_dependencies(deb: Path) -> list[str]:
    """The names of the packages that one needs."""
    done = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Depends"], capture_output=True, text=True, check=True, timeout=60
    )
    return list(dict.fromkeys(re.split(r"[ (|]", one.strip())[0] for one in done.stdout.split(",")))


def source_date() -> int:
    """The time that is written into what is built: SOURCE_DATE_EPOCH, else the commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 1_700_000_000


def _ask(root: Path, *command: str) -> str:
    return run_in(root, command).stdout.strip()


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    main()
