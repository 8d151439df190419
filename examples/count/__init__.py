"""The example job: count words and n-grams of a text, and make a compressed index of it."""
