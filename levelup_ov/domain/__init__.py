"""What an order is: frozen values and pure functions. Nothing here does I/O."""
