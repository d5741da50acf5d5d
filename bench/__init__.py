"""The service measured against two references, as ratios within one run; see README.rst."""
