"""`xnode provider stake | mint | capacity | verifier | self-test`: collateral, credits and verified capacity."""
