"""The workbench: pages at ``/`` on which a partner sees what an adapter makes of an order. Development mode only.

Its pages call the service's own interface from the browser, so that ``curl`` reproduces whatever they show.
"""

from levelup_ov.workbench.pages import install

__all__ = ["install"]
