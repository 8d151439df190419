"""Host: what any engine needs of this machine: cgroups, disks, network policy, system calls, devices."""
