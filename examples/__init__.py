"""Examples: a real job, and a whole network on one machine to run it on."""
