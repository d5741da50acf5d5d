"""A small ordering system with an HTTP API of its own: something real to order from, without a provider.

It knows nothing of the contract between the service and its channel. Its members have other names, its
times an offset, its options nest; :mod:`adapters.sandbox` translates.
"""

from levelup_ov.standins.sandbox.api import DEVELOPMENT_KEY, create_sandbox

__all__ = ["DEVELOPMENT_KEY", "create_sandbox"]
