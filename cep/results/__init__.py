"""What comes out, as tables."""
