# Settings of a provider, as an example and for the tests: all of them are in docs/config.md.
{
  chain.manifest = "/var/lib/xnode/manifest.toml";
  node = {
    listen = [ "/ip4/0.0.0.0/tcp/4001" ];
    http = "127.0.0.1:8420";
  };
  provider = {
    owner = "0x0000000000000000000000000000000000000001";
    region = "eu-west";
    prices = {
      vcpu_hour = "0.02";
      memory_gib_hour = "0.005";
    };
    share = {
      vcpus = 2.0;
      memory = "2GiB";
      disk = "10GiB";
    };
  };
}
