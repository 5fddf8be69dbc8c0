"""Sources: the only code of the engine that opens a file."""
