"""Names and types: expressions meet the fields of their streams."""
