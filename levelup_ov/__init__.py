"""Order validation and submission between LevelUp order-ahead and ordering providers."""

__version__ = "0.1.0"
