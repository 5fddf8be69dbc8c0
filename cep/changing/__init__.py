"""Rules that change while events come: statements by name, versions, shadows, watched files."""
