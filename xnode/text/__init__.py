"""Text: amounts, sizes, times and hex as people write them. Never through a float."""
