"""Conformance: cases from Apache Flink CEP, rendered to rule text and run through the public API.

`python -m tests.conformance DIR` runs every pattern case file of a directory. See `__main__`.
"""
