"""Pattern algebra + batches of events -> matches: time, keys, state."""

assert __name__ == "cep.engine", "a second import name means a second copy of every class"
