"""Rules that run on and on: sources, checkpoints, sinks."""
