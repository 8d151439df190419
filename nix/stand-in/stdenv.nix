# The phases of a package, done by the host's own shell and tools outside of a sandbox, in two minutes: what `make nix-build`
# builds. STAND_IN_PYTHON names a Python with pip and hatchling (nix-build --impure).
{ derive, lib }:
package:
let
  python = builtins.getEnv "STAND_IN_PYTHON";
  drv = derive "${package.pname}-${package.version}" {
    inherit (package) src;
    builder = "/bin/bash";
    args = [
      "-euo"
      "pipefail"
      "-c"
      ''
        export PATH=/usr/bin:/bin HOME=$TMPDIR
        runHook() { :; }
        python() { "${python}" "$@"; }
        makeWrapper() {
          local program=$1 made=$2 flags=
          shift 2
          {
            echo "#!/bin/sh"
            while [ $# -gt 0 ]; do
              case $1 in
              --set) echo "export $2='$3'"; shift 3 ;;
              --add-flags) flags=$2; shift 2 ;;
              *) echo "makeWrapper: $1 is not known here" >&2; exit 1 ;;
              esac
            done
            echo "exec $program $flags \"\$@\""
          } >"$made"
          chmod +x "$made"
        }
        cp -r "$src" source
        chmod -R u+w source
        cd source
        ${package.buildPhase}
        mkdir -p "$out/bin"
        ${package.installPhase}
        ${lib.optionalString package.doInstallCheck package.installCheckPhase}
      ''
    ];
  };
in
drv // package.passthru // { inherit (package) pname version meta; }
