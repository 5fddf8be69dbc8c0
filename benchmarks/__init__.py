"""Speed and memory, with the outputs checked: `python -m benchmarks`."""
