"""A rule set bound to its streams -> what runs, in which order, on which feed."""
