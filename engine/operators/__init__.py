"""What is computed over keyed events: the pattern operator (windows and features come beside it)."""
