"""Keyed state: keys, shards, the runs of patterns, and how all of it is saved."""
