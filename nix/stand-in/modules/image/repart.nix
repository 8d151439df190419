# image.repart: its options, and in the place of what it builds names alone.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  scalar = types.oneOf [
    types.bool
    types.int
    types.str
  ];
  partition.options = {
    contents = mkOption {
      type = types.attrsOf (types.submodule { options.source = mkOption { type = types.path; }; });
      default = { };
    };
    repartConfig = mkOption { type = types.attrsOf scalar; };
    storePaths = mkOption {
      type = types.listOf types.path;
      default = [ ];
    };
  };
  cfg = config.image.repart;
  id =
    default:
    mkOption {
      type = types.str;
      inherit default;
    };
in
{
  options.image.repart = {
    name = mkOption { type = types.str; };
    imageFileBasename = id "${cfg.name}_${config.system.image.version}";
    split = mkOption {
      type = types.bool;
      default = false;
    };
    partitions = mkOption {
      type = types.attrsOf (types.submodule partition);
      default = { };
    };
    verityStore = {
      enable = lib.mkEnableOption "a verified store";
      partitionIds = {
        esp = id "00-esp";
        store-verity = id "10-store-verity";
        store = id "20-store";
      };
    };
  };
  config = {
    system.boot.loader.ukiFile = "${config.boot.uki.name}_${config.system.image.version}.efi";
    image.repart.partitions.${cfg.verityStore.partitionIds.store}.storePaths = [ config.system.build.toplevel ];
    system.build = {
      uki = pkgs.writeText "uki" "";
      intermediateImage = pkgs.writeText "image" (builtins.toJSON cfg.partitions);
      finalImage = pkgs.writeText "image" (builtins.toJSON cfg.partitions);
    };
  };
}
