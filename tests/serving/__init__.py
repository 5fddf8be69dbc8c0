"""`cep serve` as a process of its own, asked by real clients."""
