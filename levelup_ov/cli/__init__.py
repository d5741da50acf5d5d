"""The command ``levelup-ov``."""
