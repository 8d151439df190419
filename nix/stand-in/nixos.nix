# nixosSystem: the options of NixOS that xnode's modules set, by their names and types, and no others: a name that is misspelt is
# refused here as it would be there. What NixOS makes of them is not here.
{ lib, pkgsOf }:
{
  system,
  modules,
  specialArgs ? { },
}:
let
  inherit (lib) mkOption types;
  pkgs = pkgsOf system;

  option = type: default: mkOption { inherit type default; };
  required = type: mkOption { inherit type; };
  flag = option types.bool false;
  text = option types.str "";
  lines = option types.lines "";
  texts = option (types.listOf types.str) [ ];
  open = option (types.attrsOf types.anything) { };
  scalar = types.oneOf [
    types.bool
    types.int
    types.str
    types.package
  ];
  # One line, or a list of lines of the same key.
  setting = types.either scalar (types.listOf scalar);
  settings = option (types.attrsOf setting) { };
  setOf = module: option (types.attrsOf (types.submodule module)) { };

  unit.options = {
    enable = option types.bool true;
    description = text;
    documentation = texts;
    wantedBy = texts;
    requiredBy = texts;
    wants = texts;
    requires = texts;
    after = texts;
    before = texts;
    unitConfig = settings;
  };
  service.options = unit.options // {
    environment = option (types.attrsOf (types.nullOr types.str)) { };
    path = option (types.listOf types.package) [ ];
    script = lines;
    restartTriggers = option (types.listOf types.unspecified) [ ];
    startLimitIntervalSec = option (types.nullOr types.int) null;
    serviceConfig = settings;
  };
  timer.options = unit.options // {
    timerConfig = settings;
  };
  fileSystem.options = {
    device = option (types.nullOr types.str) null;
    fsType = option types.str "auto";
    options = option (types.listOf types.str) [ "defaults" ];
    neededForBoot = flag;
  };
  user.options = {
    isSystemUser = flag;
    group = text;
    home = option types.path "/var/empty";
  };

  base.options = {
    assertions = option (types.listOf types.unspecified) [ ];
    boot = {
      initrd.systemd.enable = flag;
      kernel.sysctl = option (types.attrsOf (
        types.oneOf [
          types.bool
          types.int
          types.str
        ]
      )) { };
      kernelModules = texts;
      kernelParams = texts;
      loader.grub.enable = option types.bool true;
      loader.systemd-boot.enable = flag;
      uki.name = text;
    };
    documentation.enable = option types.bool true;
    environment = {
      etc = setOf { options.source = required types.path; };
      systemPackages = option (types.listOf types.package) [ ];
      variables = option (types.attrsOf types.str) { };
    };
    fileSystems = setOf fileSystem;
    hardware.graphics.enable = flag;
    hardware.nvidia-container-toolkit.enable = flag;
    networking = {
      firewall.enable = option types.bool true;
      firewall.allowedTCPPorts = option (types.listOf types.port) [ ];
      hostName = option types.str "nixos";
      nftables.enable = flag;
      useNetworkd = flag;
    };
    nix.enable = option types.bool true;
    services.openssh.enable = flag;
    services.timesyncd.enable = option types.bool true;
    system = {
      activationScripts = option (types.attrsOf types.lines) { };
      boot.loader.ukiFile = text;
      build = option (types.attrsOf types.package) { };
      image.id = option (types.nullOr types.str) null;
      image.version = option (types.nullOr types.str) null;
      stateVersion = option types.str "26.05";
      switch.enable = option types.bool true;
    };
    systemd = {
      package = option types.package pkgs.systemd;
      repart.enable = flag;
      repart.partitions = option (types.attrsOf (types.attrsOf scalar)) { };
      services = setOf service;
      sysupdate.enable = flag;
      sysupdate.transfers = option (types.attrsOf (types.attrsOf (types.attrsOf setting))) { };
      timers = setOf timer;
    };
    users = {
      allowNoPasswordLogin = flag;
      groups = open;
      mutableUsers = option types.bool true;
      users = setOf user;
    };
    virtualisation = {
      cores = option types.int 1;
      diskSize = option types.int 1024;
      memorySize = option types.int 1024;
    };
    zramSwap.enable = flag;
  };

  # What a configuration is built into, with all of it inside: to compute this is to check it. An image has this inside, and is
  # computed by itself.
  built =
    { config, ... }:
    {
      config.system.build.toplevel = derivation {
        name = "nixos-system";
        inherit system;
        builder = "/bin/sh";
        all = builtins.toJSON (
          builtins.removeAttrs config [ "image" ] // { system = builtins.removeAttrs config.system [ "build" ]; }
        );
      };
    };

  evaluated = lib.evalModules {
    modules = modules ++ [
      base
      built
    ];
    specialArgs = {
      inherit pkgs;
      modulesPath = toString ./modules;
    }
    // specialArgs;
  };
  failed = builtins.filter (one: !one.assertion) evaluated.config.assertions;
in
if failed == [ ] then
  evaluated
else
  throw "Failed assertions:\n${lib.concatMapStringsSep "\n" (one: "- ${one.message}") failed}"
