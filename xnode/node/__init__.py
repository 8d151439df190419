"""WHAT NEXT: step(state, change) -> (state, effects). Only computes."""
