"""One module per ordering provider, with the provider's name in the registry."""

LEVELUP_OV_ADAPTERS = True
"""Marks this package as ours; another distribution on the public index has the same name."""
