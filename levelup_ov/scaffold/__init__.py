"""Creating a new adapter, and recording its provider's answers."""
