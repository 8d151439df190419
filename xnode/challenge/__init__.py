"""Challenge: capacity challenges carried over net and chain: the prover's side and the verifier's."""
