"""One module per ordering provider, named as the registry names it."""

LEVELUP_OV_ADAPTERS = True
"""Marks this package as ours; another distribution on the public index has the same name."""
