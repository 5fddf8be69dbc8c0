"""Fields computed from what a key did before."""
