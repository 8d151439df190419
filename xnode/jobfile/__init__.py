"""Job file: a page of YAML, checked, as the job that it describes."""
