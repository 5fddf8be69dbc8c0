"""Snapshots -> files in a directory or an object store that survive a crash, and back."""
