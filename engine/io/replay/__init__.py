"""Sources that can be read again from a position: what a job needs to go on where it stopped."""
