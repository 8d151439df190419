# In the place of nixpkgs where it cannot be had: the library functions, the module system and the packages that xnode's
# own files name, written anew and as small as they can be. It checks; only ./stdenv.nix builds, with the host's tools.
{
  outputs =
    { self }:
    let
      lib = import ./lib.nix // {
        nixosSystem = import ./nixos.nix { inherit lib pkgsOf; };
      };
      pkgsOf = system: import ./pkgs.nix { inherit lib system; };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsOf;
    };
}
