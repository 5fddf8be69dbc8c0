"""A pattern -> an automaton -> integer tables and programs for the kernels."""
