# xnodeOS: a host that is an xnode and nothing else. The system is one read-only, verified partition that is replaced as a whole;
# what lasts is /var, on a partition of its own; all else is made anew at each boot. Two slots: an update goes into the other one,
# and when the node does not come up in it, the machine comes back to this one by itself.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  cfg = config.xnodeos;
  inherit (config.image.repart.verityStore) partitionIds;
  inherit (pkgs.stdenv.hostPlatform) efiArch;
  name = "xnodeos";
  home = "/var/lib/xnode";
  xnode = "${config.services.xnode.package}/bin/xnode";
  keepState = "${pkgs.runtimeShell} ${./keep-state.sh} ${home} ${cfg.version}";

  slot = {
    SizeMinBytes = cfg.slotSize;
    SizeMaxBytes = cfg.slotSize;
  };
  hashes = {
    SizeMinBytes = cfg.hashSize;
    SizeMaxBytes = cfg.hashSize;
  };
  source =
    if cfg.update.url == null then
      {
        Type = "regular-file";
        Path = "/var/lib/xnode-update";
      }
    else
      {
        Type = "url-file";
        Path = cfg.update.url;
      };
  transfer = files: target: {
    Transfer = {
      ProtectVersion = "%A";
      Verify = if cfg.update.url == null then "no" else "yes";
    };
    Source = source // {
      MatchPattern = files;
    };
    Target = target // {
      InstancesMax = 2;
    };
  };
  partition = type: label: {
    Type = "partition";
    Path = "auto";
    MatchPattern = "${label}_@v";
    MatchPartitionType = type;
    ReadOnly = 1;
  };
  arch =
    {
      x86_64-linux = "x86-64";
      aarch64-linux = "arm64";
    }
    .${pkgs.stdenv.hostPlatform.system};

  update = pkgs.writeShellScriptBin "xnodeos-update" ''
    set -eu
    # Tenants first: nothing new from here on, and the reboot waits for what runs. What was drained by hand stays drained.
    if ! ${xnode} provider status -o json | ${pkgs.jq}/bin/jq -e '.drained_at_ns > 0' >/dev/null; then
      touch ${home}/resume-after-update
    fi
    ${xnode} provider drain --wait
    if ${config.systemd.package}/lib/systemd/systemd-sysupdate update; then
      systemctl reboot
    else
      echo "error: the update was not installed, and this version goes on" >&2
      systemctl start xnodeos-resume.service
      exit 1
    fi
  '';
in
{
  imports = [ "${modulesPath}/image/repart.nix" ];

  options.xnodeos = {
    version = lib.mkOption {
      type = lib.types.str;
      default = config.services.xnode.package.version;
      defaultText = lib.literalExpression "config.services.xnode.package.version";
      description = ''
        The version of the whole system: what is newer is an update. Change it for a change of settings too.
      '';
    };
    slotSize = lib.mkOption {
      type = lib.types.str;
      default = "4G";
      description = "Size of each of the two slots of the system; it can not grow later.";
    };
    hashSize = lib.mkOption {
      type = lib.types.str;
      default = "64M";
      description = "Size of the hash tree beside each slot: 1/128 of it, and some more.";
    };
    update.url = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      description = ''
        Where updates are published, with SHA256SUMS and its signature by a key of /etc/systemd/import-pubring.gpg. Without it
        an update is a folder's content copied to /var/lib/xnode-update, and nothing is asked of any network.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = config.services.xnode.enable;
        message = "services.xnode.enable is off: xnodeOS runs nothing else.";
      }
      {
        assertion = lib.match "[0-9A-Za-z.~^]+" cfg.version != null;
        message = "xnodeos.version is ${cfg.version}: it is part of file names, and has letters, digits, \".\", \"~\" and \"^\" only.";
      }
    ];

    system.image = {
      id = name;
      inherit (cfg) version;
    };
    system.stateVersion = "26.05";
    system.switch.enable = false;
    nix.enable = false;
    # /usr is the verified partition; nothing is made in it at boot.
    system.activationScripts.usrbinenv = lib.mkForce "";

    boot.uki.name = name;
    boot.loader.grub.enable = false;
    boot.loader.systemd-boot.enable = false;
    boot.initrd.systemd.enable = true;
    boot.kernelParams = [
      "panic=30"
      "systemd.machine_id=firmware"
    ];

    fileSystems = {
      "/" = {
        device = "none";
        fsType = "tmpfs";
        options = [
          "mode=0755"
          "size=25%"
        ];
      };
      "/usr" = {
        device = "/dev/mapper/usr";
        fsType = "erofs";
        options = [ "ro" ];
      };
      "/nix/store" = {
        device = "/usr/nix/store";
        fsType = "none";
        options = [
          "bind"
          "ro"
        ];
      };
      "/var" = {
        device = "/dev/disk/by-partlabel/state";
        fsType = "ext4";
        neededForBoot = true;
        options = [
          "x-systemd.growfs"
          "nosuid"
          "nodev"
        ];
      };
      "/boot" = {
        device = "/dev/disk/by-partlabel/esp";
        fsType = "vfat";
        options = [
          "umask=0077"
          "noexec"
          "nosuid"
          "nodev"
        ];
      };
    };

    image.repart = {
      inherit name;
      split = true;
      verityStore.enable = true;
      partitions = {
        ${partitionIds.esp} = {
          contents = {
            "/EFI/BOOT/BOOT${lib.toUpper efiArch}.EFI".source =
              "${pkgs.systemd}/lib/systemd/boot/efi/systemd-boot${efiArch}.efi";
            "/loader/loader.conf".source = pkgs.writeText "loader.conf" "timeout 0\n";
          };
          repartConfig = {
            Type = "esp";
            Format = "vfat";
            Label = "esp";
            SizeMinBytes = "512M";
            SizeMaxBytes = "512M";
            SplitName = "-";
          };
        };
        ${partitionIds.store-verity}.repartConfig = hashes // {
          Label = "hashes_${cfg.version}";
          SplitName = "hashes";
          ReadOnly = 1;
        };
        ${partitionIds.store}.repartConfig = slot // {
          Label = "system_${cfg.version}";
          SplitName = "system";
          ReadOnly = 1;
        };
        "30-other-hashes".repartConfig = hashes // {
          Type = "usr-${arch}-verity";
          Label = "_empty";
          SplitName = "-";
        };
        "40-other-system".repartConfig = slot // {
          Type = "usr-${arch}";
          Label = "_empty";
          SplitName = "-";
        };
        "50-state".repartConfig = {
          Type = "linux-generic";
          Format = "ext4";
          Label = "state";
          SizeMinBytes = "1G";
          SplitName = "-";
        };
      };
    };
    # The last partition takes the rest of whatever disk the image was written to.
    systemd.repart.enable = true;
    systemd.repart.partitions."50-state" = {
      Type = "linux-generic";
      Label = "state";
      GrowFileSystem = true;
    };

    # What an update is made of, under the names that the transfers look for: the partitions' UUIDs are halves of the root hash,
    # by which the system finds them.
    system.build.update = pkgs.runCommand "xnodeos-update-${cfg.version}" { nativeBuildInputs = [ pkgs.jq ]; } ''
      mkdir $out
      image=${config.system.build.intermediateImage}
      uuid() { jq -r --arg type "$1" '[.[] | select(.type == $type and .roothash)][0].uuid' $image/repart-output.json; }
      base=$image/${config.image.repart.imageFileBasename}
      ln -s $base.system.raw $out/${name}_${cfg.version}_$(uuid usr-${arch}).system.raw
      ln -s $base.hashes.raw $out/${name}_${cfg.version}_$(uuid usr-${arch}-verity).hashes.raw
      ln -s ${config.system.build.uki}/${config.system.boot.loader.ukiFile} $out/${name}_${cfg.version}.efi
    '';

    systemd.sysupdate = {
      enable = true;
      # In this order: what would be booted comes last.
      transfers = {
        "10-hashes" = transfer [ "${name}_@v_@u.hashes.raw" ] (partition "usr-${arch}-verity" "hashes");
        "20-system" = transfer [ "${name}_@v_@u.system.raw" ] (partition "usr-${arch}" "system");
        "30-entry" = transfer [ "${name}_@v.efi" ] {
          Type = "regular-file";
          Path = "/EFI/Linux";
          PathRelativeTo = "boot";
          MatchPattern = [
            "${name}_@v+@l-@d.efi"
            "${name}_@v+@l.efi"
            "${name}_@v.efi"
          ];
          Mode = "0444";
          TriesLeft = 3;
          TriesDone = 0;
        };
      };
    };
    # An update interrupts tenants, so it begins when somebody says so: with xnodeos-update.
    systemd.timers.systemd-sysupdate.enable = false;
    environment.systemPackages = [ update ];

    systemd.services = {
      # Asked only of a version on trial, whose boots systemd-boot counts: systemd-bless-boot ends the counting once this is
      # content. Else the machine starts again, until the tries are used up and systemd-boot takes the other slot.
      xnodeos-healthy = {
        description = "xnodeOS: the version on trial is healthy";
        requiredBy = [ "boot-complete.target" ];
        before = [ "boot-complete.target" ];
        after = [ "xnode.service" ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${pkgs.runtimeShell} ${../images/host/files/xnode-healthy}";
          ExecStartPost = "${keepState} settled";
          TimeoutStartSec = "infinity";
        };
      };
      # The older version cannot read what a newer one has written: what it needs is kept until the newer one has come up.
      xnodeos-keep-state = {
        description = "xnodeOS: keep the database for the way back";
        requiredBy = [ "xnode.service" ];
        before = [ "xnode.service" ];
        unitConfig.RequiresMountsFor = home;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          StateDirectory = "xnode";
          StateDirectoryMode = "0700";
          ExecStart = keepState;
        };
      };
      xnodeos-resume = {
        description = "xnodeOS: sell again after an update, or after the way back from one";
        wantedBy = [ "multi-user.target" ];
        requires = [ "xnode.service" ];
        after = [ "xnode.service" ];
        unitConfig.ConditionPathExists = "${home}/resume-after-update";
        environment.XNODE_HOME = home;
        serviceConfig = {
          Type = "oneshot";
          ExecStart = "${xnode} provider resume";
          ExecStartPost = "${pkgs.coreutils}/bin/rm ${home}/resume-after-update";
        };
      };
    };

    users.mutableUsers = false;
    users.allowNoPasswordLogin = true;
    networking = {
      hostName = lib.mkDefault "xnode";
      useNetworkd = true;
      nftables.enable = true;
      firewall.enable = true;
    };
    services.openssh.enable = lib.mkDefault false;
    services.timesyncd.enable = lib.mkDefault true;
    zramSwap.enable = lib.mkDefault true;
    documentation.enable = lib.mkDefault false;
  };
}
