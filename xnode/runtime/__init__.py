"""Runtime: workloads in locked-down containers, their counters, images, and what this host has."""
