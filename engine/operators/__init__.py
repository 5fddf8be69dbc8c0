"""What is computed over keyed events: patterns (windows and features come beside them)."""
