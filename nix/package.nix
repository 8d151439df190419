# xnode, from the wheels that requirements.lock names, each by its hash: what runs is byte for byte what the tests ran with.
# nixpkgs has no libp2p and no anycorn, and other versions of most of the rest. ./wheels.py makes the table.
{
  lib,
  stdenv,
  autoPatchelfHook,
  bash,
  conmon,
  coreutils,
  crun,
  e2fsprogs,
  fetchPypi,
  gmp,
  gnugrep,
  iproute2,
  kmod,
  makeWrapper,
  nftables,
  podman,
  python313,
  util-linux,
  zlib,
  python ? python313,
}:
let
  inherit (stdenv.hostPlatform) system;
  target = "${python.pythonVersion} ${system}";
  table = lib.importJSON ./wheels.json;

  # What of the table this Python on this machine needs.
  chosen = lib.filter (one: lib.elem target one.for) table.files;
  wheels = map fetchWheel (lib.filter (one: isWheel one.file) chosen);
  sources = map fetchSource (lib.filter (one: !isWheel one.file) chosen);

  isWheel = file: lib.match ".*\\.whl" file != null;
  # name-version-python-abi-platform.whl; none of ours has a build number.
  fetchWheel =
    one:
    let
      part = lib.elemAt (lib.match "([^-]+)-([^-]+)-([^-]+)-([^-]+)-([^-]+)\\.whl" one.file);
    in
    fetchPypi {
      format = "wheel";
      pname = part 0;
      version = part 1;
      dist = part 2;
      python = part 2;
      abi = part 3;
      platform = part 4;
      inherit (one) sha256;
    };
  fetchSource =
    one:
    let
      part = lib.elemAt (lib.match "(.+)-([^-]+)\\.tar\\.gz" one.file);
    in
    fetchPypi {
      pname = part 0;
      version = part 1;
      inherit (one) sha256;
    };

  # Of this repository only what goes into the wheel: a change of a test or a page builds nothing anew.
  root = toString ../.;
  packed = [
    "LICENSE"
    "README.md"
    "contracts"
    "contracts/artifacts"
    "contracts/package-lock.json"
    "hatch_build.py"
    "metering"
    "packages"
    "packages/bill.py"
    "packages/lock.py"
    "packages/one_name.py"
    "pyproject.toml"
    "requirements.lock"
    "scheduler"
    "xnode"
  ];
  src = builtins.path {
    path = ../.;
    name = "xnode-source";
    filter =
      path: _:
      let
        inside = lib.removePrefix "${root}/" path;
        isBelow = folder: folder != "contracts" && folder != "packages" && lib.hasPrefix "${folder}/" inside;
      in
      baseNameOf path != "__pycache__" && (lib.elem inside packed || lib.any isBelow packed);
  };

  # The daemon looks for the host's programs in folders of its own choice, never in its caller's PATH.
  programs = lib.makeBinPath [
    podman
    crun
    conmon
    nftables
    iproute2
    e2fsprogs
    util-linux
    kmod
    coreutils
    gnugrep
    bash
  ];
in
if chosen == [ ] then
  throw "xnode has no wheels for Python ${target}; nix/wheels.json has: ${lib.concatStringsSep ", " table.targets}"
else
  stdenv.mkDerivation {
    pname = "xnode";
    version = lib.head (lib.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ../xnode/__init__.py));
    inherit src;

    nativeBuildInputs = [
      autoPatchelfHook
      makeWrapper
      python
      python.pkgs.hatchling
      python.pkgs.pip
      python.pkgs.setuptools
      python.pkgs.wheel
    ];
    buildInputs = [
      stdenv.cc.cc.lib
      gmp
      zlib
    ];

    dontConfigure = true;
    buildPhase = ''
      runHook preBuild
      sed -i 's|^SEARCH_PATH = "|&${programs}:/run/current-system/sw/bin:|' xnode/runtime/host/program.py
      grep -q 'SEARCH_PATH = "${programs}' xnode/runtime/host/program.py
      # pip reads a name from a file's name, and the store puts a hash before it.
      mkdir given
      for file in ${toString (wheels ++ sources)}; do
        name=''${file##*/}
        ln -s "$file" "given/''${name#*-}"
      done
      # -g0: the folder that pip unpacks into has a new name each time, and would be in what is compiled.
      CFLAGS=-g0 python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir built . \
        $(find given -name '*.tar.gz')
      runHook postBuild
    '';
    installPhase = ''
      runHook preInstall
      site=$out/${python.sitePackages}
      python -m pip install --quiet --no-deps --no-index --no-compile --no-warn-script-location --target "$site" \
        given/*.whl built/*.whl
      rm -r "$site/bin"
      # Nothing can be compiled later: the store is read-only. By hash, so that no time is in it.
      PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash "$site" || true
      makeWrapper ${python.interpreter} $out/bin/xnode \
        --add-flags "-P -m xnode.cli.main" --set PYTHONPATH "$site" --set PYTHONNOUSERSITE 1
      runHook postInstall
    '';

    doInstallCheck = true;
    installCheckPhase = ''
      $out/bin/xnode --version
    '';

    passthru = {
      inherit chosen python;
    };
    meta = {
      description = "The node daemon of a decentralized compute marketplace";
      license = lib.licenses.mit;
      mainProgram = "xnode";
      platforms = lib.unique (lib.concatMap (one: [ (lib.elemAt (lib.match "[^ ]+ ([^ ]+)" one) 0) ]) table.targets);
    };
  }
