"""One event at a time, without columns: the same meaning as a batch of one, in microseconds."""
