# sh nix/build.sh PYTHON: builds the package with the host's own nix and Python, from the files of nix/wheels.json, in a store of
# its own; then runs it from there. nixpkgs is not asked for: nix/stand-in is in its place.
set -eu
python=$(realpath -s "$1")
place=$PWD/.cache/nix
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
mkdir -p "$place/home" "$place/files"
export HOME="$place/home" NIX_STORE_DIR="$place/store" NIX_STATE_DIR="$place/state" NIX_LOG_DIR="$place/log"
export STAND_IN_PYTHON="$place/python/bin/python" NIX_CONFIG="build-users-group =
sandbox = false
substituters ="

# What nixpkgs has of its own: the tools that build a wheel.
if [ ! -x "$STAND_IN_PYTHON" ]; then
  "$python" -m venv "$place/python"
  "$STAND_IN_PYTHON" -m pip install -q "$(grep -o '^hatchling==[^ ]*' requirements.lock)" setuptools wheel
fi

echo "files of Python $version, by the hashes of nix/wheels.json"
"$python" - "$version" >"$place/wanted.txt" <<'END'
import json, platform, sys
target = f"{sys.argv[1]} {platform.machine()}-linux"
for one in json.load(open("nix/wheels.json"))["files"]:
    if target in one["for"]:
        file = one["file"].removesuffix(".tar.gz")
        name, release = file.split("-")[:2] if file.endswith(".whl") else file.rsplit("-", 1)
        print(f"{name}=={release} --hash=sha256:{one['sha256']}")
END
"$STAND_IN_PYTHON" -m pip download -q --no-deps --require-hashes --no-build-isolation -d "$place/files" -r "$place/wanted.txt"

echo "into the store"
nix-store --add-fixed sha256 "$place"/files/* >/dev/null

echo "building"
built=$(nix-build --no-out-link --expr "
  let
    nixpkgs = (import ./nix/stand-in/flake.nix).outputs { self = nixpkgs; };
    pkgs = nixpkgs.legacyPackages.\${builtins.currentSystem};
  in
  pkgs.callPackage ./nix/package.nix { python = pkgs.python$(echo "$version" | tr -d .); }")
du -sh "$built"

echo "running it from the store"
cd /
env -i HOME="$HOME" PATH=/nowhere "$built/bin/xnode" --version
code=0
env -i HOME="$HOME" PATH=/nowhere XNODE_HOME="$place/home/none" "$built/bin/xnode" doctor || code=$?
# 1: a home with no settings yet; anything else is not doctor's answer.
[ "$code" -le 1 ]
