# services.xnode: a node that is declared. Settings are a file of the system and state is /var/lib/xnode; secrets are neither,
# and come to the daemon as credentials of systemd.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.xnode;
  toml = pkgs.formats.toml { };
  home = "/var/lib/xnode";
  declared = "/etc/xnode/config.toml";
  sells = cfg.role == "provider";
  provider = cfg.settings.provider or { };
  listen = cfg.settings.node.listen or [ ];

  written = toml.generate "xnode-config.toml" cfg.settings;
  # A setting that is wrong fails the build, with the line that the node itself would say.
  checked = pkgs.runCommand "xnode-config.toml" { } ''
    XNODE_HOME=$PWD/home ${cfg.package}/bin/xnode config check ${written}
    cp ${written} $out
  '';
  file = if cfg.checkSettings then checked else written;

  # The TCP ports at which others can reach this node: those that are fixed, and not on loopback.
  ports = lib.unique (lib.concatMap portOf listen);
  portOf =
    address:
    let
      found = lib.match "/ip[46]/([^/]+)/tcp/([0-9]+)(/.*)?" address;
      host = lib.head found;
      port = lib.toInt (lib.elemAt found 1);
    in
    lib.optional (found != null && port != 0 && !lib.hasPrefix "127." host && host != "::1") port;

  credentials = lib.filterAttrs (_: path: path != null) {
    "node.password" = cfg.passwordFile;
    "node-key.json" = cfg.nodeKeyFile;
  };
  placeNodeKey = "${pkgs.runtimeShell} ${./place-node-key.sh} %d/node-key.json ${home}";
  secrets = {
    inherit (cfg)
      passwordFile
      nodeKeyFile
      walletFile
      walletPasswordFile
      environmentFile
      ;
  };
  inStore = path: lib.hasPrefix "${builtins.storeDir}/" (toString path);
  # Capabilities of root that neither the daemon nor podman uses.
  unneeded = [
    "CAP_AUDIT_CONTROL"
    "CAP_AUDIT_READ"
    "CAP_BLOCK_SUSPEND"
    "CAP_LEASE"
    "CAP_LINUX_IMMUTABLE"
    "CAP_MAC_ADMIN"
    "CAP_MAC_OVERRIDE"
    "CAP_SYSLOG"
    "CAP_SYS_BOOT"
    "CAP_SYS_MODULE"
    "CAP_SYS_PACCT"
    "CAP_SYS_RAWIO"
    "CAP_SYS_TIME"
    "CAP_SYS_TTY_CONFIG"
    "CAP_WAKE_ALARM"
  ];
  missing = lib.filter (key: !provider ? ${key}) [
    "owner"
    "region"
    "prices"
    "share"
  ];

  secretOption =
    description:
    lib.mkOption {
      # A string: a path that is written without quotes would be copied into the store, where everybody can read it.
      type = lib.types.nullOr lib.types.str;
      default = null;
      inherit description;
    };
in
{
  options.services.xnode = {
    enable = lib.mkEnableOption "xnode, the node daemon of a compute marketplace";

    package = lib.mkOption {
      type = lib.types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.xnode;
      defaultText = lib.literalExpression "xnode.packages.\${system}.xnode";
      description = "The xnode that runs.";
    };

    role = lib.mkOption {
      type = lib.types.enum [
        "provider"
        "submitter"
      ];
      default = "provider";
      description = "Sell compute, as root, or only buy it, as a user of its own.";
    };

    settings = lib.mkOption {
      inherit (toml) type;
      default = { };
      example = lib.literalExpression ''
        {
          chain.manifest = ./manifest.toml;
          node.listen = [ "/ip4/0.0.0.0/tcp/4001" ];
        }
      '';
      description = ''
        config.toml, section by section, with the names of docs/config.md. On the running system it is ${declared}, which no
        command changes. A path without quotes is copied into the store: right for the manifest, wrong for a secret.
      '';
    };

    checkSettings = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Let the build fail where a setting is wrong. Off where the package cannot run on the machine that builds.";
    };

    passwordFile = secretOption "File with the node key's password. Without it the daemon makes one in its home.";
    nodeKeyFile = secretOption ''
      The node key, a version 3 key file, put into the home where there is none. Without it the daemon makes one.
    '';
    walletFile = secretOption ''
      Key file of the wallet that owns this provider. With it the node is registered on chain before its first start, by a unit
      of its own: the daemon never sees it.
    '';
    walletPasswordFile = secretOption "File with that wallet's password.";
    environmentFile = secretOption ''
      Lines XNODE_SECTION__KEY=value that win over the settings, for those that are secret, such as a database's URL.
    '';

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Open the TCP ports of settings.node.listen.";
    };

    gpus = lib.mkOption {
      type = lib.types.enum [
        "none"
        "nvidia"
        "amd"
      ];
      default = "none";
      description = ''
        Whose GPUs are lent. "nvidia" turns on the container toolkit, which names them for containers at each boot; the driver
        is chosen as on any NixOS. For "amd" a CDI specification is to be put into /etc/cdi.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.settings ? chain && cfg.settings.chain ? manifest;
        message = "services.xnode.settings.chain.manifest is missing: it says which contracts this node settles on.";
      }
      {
        assertion = !sells || cfg.settings ? provider;
        message = "services.xnode.settings.provider is missing: a provider has an owner, a region, prices and a share.";
      }
      {
        assertion = !sells || !cfg.settings ? provider || missing == [ ];
        message = "services.xnode.settings.provider lacks ${lib.concatStringsSep ", " missing}.";
      }
      {
        assertion = sells || !cfg.settings ? provider;
        message = ''services.xnode.settings.provider is set, and services.xnode.role is "submitter", which sells nothing.'';
      }
      {
        assertion = lib.match ".*://[^/@]*:[^/@]*@.*" (cfg.settings.node.database_url or "") == null;
        message = ''
          services.xnode.settings.node.database_url has a password, and everybody on the host can read the store: set
          XNODE_NODE__DATABASE_URL in services.xnode.environmentFile.'';
      }
      {
        assertion = cfg.passwordFile == null || !(cfg.settings.node or { }) ? password_file;
        message = "services.xnode.passwordFile and services.xnode.settings.node.password_file both name the password: keep one.";
      }
      {
        assertion = (cfg.walletFile == null) == (cfg.walletPasswordFile == null);
        message = "services.xnode.walletFile and services.xnode.walletPasswordFile are given together, or neither.";
      }
      {
        assertion = sells || cfg.walletFile == null;
        message = "services.xnode.walletFile registers a provider; a submitter's wallet stays with its owner.";
      }
      {
        assertion = !cfg.openFirewall || ports != [ ];
        message = ''
          services.xnode.openFirewall has no port to open: settings.node.listen names no fixed one, such as
          "/ip4/0.0.0.0/tcp/4001".'';
      }
      {
        assertion = (provider.share.gpus or 0) == 0 || cfg.gpus != "none";
        message = ''services.xnode.settings.provider.share.gpus offers GPUs: set services.xnode.gpus to "nvidia" or "amd".'';
      }
    ]
    ++ lib.mapAttrsToList (name: path: {
      assertion = path == null || !inStore path;
      message = "services.xnode.${name} is in the store, which everybody on the host can read: name a file outside of it.";
    }) secrets;

    environment.systemPackages = [ cfg.package ];
    environment.etc."xnode/config.toml".source = file;
    environment.variables = {
      XNODE_HOME = home;
      XNODE_CONFIG = declared;
    };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall ports;

    boot.kernelModules = lib.mkIf sells [
      "loop"
      "overlay"
      "veth"
      "nf_tables"
    ];
    boot.kernel.sysctl = lib.mkIf sells {
      # A lease takes two inotify instances, and Linux gives root 128.
      "fs.inotify.max_user_instances" = lib.mkDefault 8192;
      "net.ipv4.ip_forward" = lib.mkIf (provider.allow_network or false) (lib.mkDefault 1);
    };

    hardware.nvidia-container-toolkit.enable = lib.mkIf (cfg.gpus == "nvidia") (lib.mkDefault true);
    hardware.graphics.enable = lib.mkIf (cfg.gpus != "none") (lib.mkDefault true);

    users.users = lib.mkIf (!sells) {
      xnode = {
        isSystemUser = true;
        group = "xnode";
        inherit home;
      };
    };
    users.groups = lib.mkIf (!sells) { xnode = { }; };

    systemd.services.xnode = {
      description = "xnode ${cfg.role}: node of a compute marketplace";
      documentation = [ "man:xnode(1)" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "time-sync.target"
      ]
      ++ lib.optional (cfg.gpus == "nvidia") "nvidia-container-toolkit-cdi-generator.service";
      # A restart loses nothing and ends no workload, so a change of settings is one.
      restartTriggers = [ file ];
      startLimitIntervalSec = 0;
      unitConfig.RequiresMountsFor = home;
      environment = {
        XNODE_HOME = home;
        XNODE_CONFIG = declared;
        PYTHONFAULTHANDLER = "1";
      }
      // lib.optionalAttrs (cfg.passwordFile != null) { XNODE_NODE__PASSWORD_FILE = "%d/node.password"; }
      // lib.optionalAttrs (cfg.gpus == "nvidia") { LD_LIBRARY_PATH = "/run/opengl-driver/lib"; };
      # As in xnode/install, where the reasons are; tests/nix compares the two. Nothing here may give the unit a mount namespace
      # of its own (Protect*, Private*, ReadOnly*, Bind*): the disks of leases are mounts, and would be gone for the next daemon.
      serviceConfig = {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${cfg.package}/bin/xnode ${if sells then "provider" else "daemon"} run";
        ExecReload = "${cfg.package}/bin/xnode config reload";
        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") credentials;
        StateDirectory = "xnode";
        StateDirectoryMode = "0700";
        Restart = "on-failure";
        RestartSec = 5;
        TimeoutStartSec = "10min";
        TimeoutStopSec = "1min";
        WatchdogSec = "2min";
        KillMode = "process";
        TasksMax = "infinity";
        NoNewPrivileges = true;
        RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
        RestrictRealtime = true;
        LockPersonality = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        KeyringMode = "private";
        UMask = "0077";
        LimitCORE = 0;
      }
      // (
        if sells then
          {
            Delegate = true;
            OOMPolicy = "continue";
            CapabilityBoundingSet = "~" + lib.concatStringsSep " " unneeded;
            SystemCallFilter = "~@cpu-emulation @module @obsolete @raw-io @reboot @swap";
          }
        else
          {
            User = "xnode";
            Group = "xnode";
            CapabilityBoundingSet = "";
            RestrictNamespaces = true;
            RestrictSUIDSGID = true;
            SystemCallFilter = "@system-service";
          }
      )
      // lib.optionalAttrs (cfg.nodeKeyFile != null) { ExecStartPre = placeNodeKey; }
      // lib.optionalAttrs (cfg.environmentFile != null) { EnvironmentFile = cfg.environmentFile; };
    };

    # The wallet signs the registration, once, and what runs afterwards cannot reach it.
    systemd.services.xnode-register = lib.mkIf (cfg.walletFile != null) {
      description = "xnode: register this provider on chain";
      wantedBy = [ "xnode.service" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      before = [ "xnode.service" ];
      restartTriggers = [ file ];
      environment = {
        XNODE_HOME = home;
        XNODE_CONFIG = declared;
        ETH_KEYSTORE = "%d/wallet.json";
        ETH_PASSWORD = "%d/wallet.password";
      }
      // lib.optionalAttrs (cfg.passwordFile != null) { XNODE_NODE__PASSWORD_FILE = "%d/node.password"; };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${cfg.package}/bin/xnode provider init --chain ${toString cfg.settings.chain.manifest}";
        # The chain may be out of reach for a while; the node starts meanwhile, and sells once it is registered.
        Restart = "on-failure";
        RestartSec = 30;
        TimeoutStartSec = 300;
        StateDirectory = "xnode";
        StateDirectoryMode = "0700";
        UMask = "0077";
        LoadCredential = [
          "wallet.json:${cfg.walletFile}"
          "wallet.password:${cfg.walletPasswordFile}"
        ]
        ++ lib.mapAttrsToList (name: path: "${name}:${path}") credentials;
      }
      // lib.optionalAttrs (cfg.nodeKeyFile != null) { ExecStartPre = placeNodeKey; }
      // lib.optionalAttrs (cfg.environmentFile != null) { EnvironmentFile = cfg.environmentFile; };
    };
  };
}
