"""Ports: the narrow interfaces through which the loop and the daemon reach the world. Adapters implement them."""
