"""The caller's data -> batches of events."""
