# One paid job on a provider that is declared, with a chain and a submitter beside it on one machine; then what must hold of the
# unit: a restart keeps a workload, and the settings cannot be changed. `nix build .#checks.x86_64-linux.one-paid-job -L` runs it.
{ pkgs, self }:
let
  inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) job-image;
  wallet = "0xc1ec5f270bd45a0281977e1f09c0c4e0c5d63dff";
in
{
  name = "xnode-one-paid-job";

  nodes.machine = {
    imports = [ self.nixosModules.default ];
    virtualisation = {
      cores = 2;
      memorySize = 3072;
      diskSize = 8192;
    };
    # Of the test alone, and worth nothing: what is in the store is no secret.
    environment.etc."one-paid-job/wallet.json".source = ./one-paid-job/wallet.json;
    environment.etc."one-paid-job/wallet.password".source = ./one-paid-job/wallet.password;
    services.xnode = {
      enable = true;
      walletFile = "/etc/one-paid-job/wallet.json";
      walletPasswordFile = "/etc/one-paid-job/wallet.password";
      settings = {
        chain.manifest = "/var/lib/devnet/manifest.toml";
        node.listen = [ "/ip4/127.0.0.1/tcp/4001" ];
        provider = {
          owner = wallet;
          region = "test";
          prices = {
            vcpu_hour = "0.10";
            memory_gib_hour = "0.02";
          };
          share = {
            vcpus = 1.0;
            memory = "1GiB";
            disk = "1GiB";
          };
        };
      };
    };
    # The chain comes first, from the test.
    systemd.services.xnode.wantedBy = pkgs.lib.mkForce [ ];
  };

  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed(
        "systemd-run --unit=devnet -E XNODE_ANVIL=${pkgs.foundry}/bin/anvil -E XNODE_HOME=/var/lib/buyer"
        " xnode devnet up --folder /var/lib/devnet"
    )
    machine.wait_until_succeeds("test -e /var/lib/devnet/manifest.toml", timeout=120)
    machine.succeed("xnode devnet fund --folder /var/lib/devnet ${wallet}")
    machine.succeed("systemctl start xnode.service")
    machine.wait_for_unit("xnode-register.service")
    machine.wait_for_unit("xnode.service")

    print(machine.succeed("sh ${./one-paid-job.sh} /var/lib/devnet /var/lib/buyer ${job-image}", timeout=600))

    with subtest("no command changes what is declared"):
        machine.fail("xnode provider price set vcpu_hour=1")
        machine.succeed("grep -q 'vcpu_hour = \"0.10\"' /etc/xnode/config.toml")

    with subtest("a change of settings restarts the daemon alone"):
        machine.succeed("systemctl restart xnode.service")
        machine.wait_for_unit("xnode.service")
        machine.succeed("xnode provider status")
  '';
}
