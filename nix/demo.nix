# `sudo nix run .#demo`: what `make demo` shows, from the packages of nixpkgs.
{
  foundry,
  job-image,
  lib,
  runCommand,
  skopeo,
  writeShellScript,
  xnode,
}:
let
  root = toString ../.;
  examples = builtins.path {
    path = ../.;
    name = "xnode-examples";
    filter =
      path: _:
      let
        inside = lib.removePrefix "${root}/" path;
      in
      baseNameOf path != "__pycache__"
      && lib.any (folder: inside == folder || lib.hasPrefix "${folder}/" inside) [
        "examples"
        "images"
      ];
  };
  layout = runCommand "job-image-layout" { nativeBuildInputs = [ skopeo ]; } ''
    skopeo --insecure-policy --tmpdir $TMPDIR copy docker-archive:${job-image} oci:$out:latest
  '';
in
writeShellScript "xnode-demo" ''
  export PYTHONPATH=${xnode}/${xnode.python.sitePackages}:${examples} PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
  export XNODE_ANVIL=${foundry}/bin/anvil
  exec ${xnode.python.interpreter} -P -m examples.demo --image ${layout} "$@"
''
