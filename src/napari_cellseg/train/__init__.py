"""Training as a generator of records."""
