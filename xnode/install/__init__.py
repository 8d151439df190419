"""Install: this node as a service of the system: the units that are shipped, as they are for one home, and where they go."""
