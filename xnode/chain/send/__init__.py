"""Send: transactions that happen once, whatever dies in between."""
