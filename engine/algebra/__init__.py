"""What rules say, as frozen dataclasses: the contract between languages and the engine."""
