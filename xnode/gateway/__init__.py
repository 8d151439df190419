"""HTTP on loopback: what monitoring and load balancers ask of a node."""
