"""The store: journal, records and effects in one SQL database; one transaction for each batch of the loop."""
