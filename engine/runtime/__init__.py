"""The loop: slices of events through tasks, their operators and what reads these."""
