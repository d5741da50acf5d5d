"""Numbers for Prometheus: counted by each worker for itself, shown by any of them for all."""

from levelup_ov.metrics.metrics import METRICS, LastHour, Metrics

__all__ = ["METRICS", "LastHour", "Metrics"]
