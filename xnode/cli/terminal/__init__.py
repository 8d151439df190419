"""Terminal: what a person sees and types: tables, failures, passwords."""
