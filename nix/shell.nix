# `nix develop`: what the Makefile takes from Debian elsewhere. `make python` then makes .venv as anywhere.
{
  conmon,
  crun,
  e2fsprogs,
  foundry,
  gmp,
  gnumake,
  iproute2,
  jq,
  mkShell,
  mmdebstrap,
  nftables,
  nodejs,
  podman,
  python313,
  stdenv,
  uv,
  zlib,
  lib,
}:
mkShell {
  packages = [
    conmon
    crun
    e2fsprogs
    foundry
    gmp
    gnumake
    iproute2
    jq
    mmdebstrap
    nftables
    nodejs
    podman
    python313
    uv
  ];
  XNODE_ANVIL = "${foundry}/bin/anvil";
  # Wheels bring programs that were linked for other systems.
  LD_LIBRARY_PATH = lib.makeLibraryPath [
    stdenv.cc.cc.lib
    gmp
    zlib
  ];
}
