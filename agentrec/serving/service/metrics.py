"""Figures for Prometheus, in a registry of the application's own, so that two applications in a process do not mix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of the service; gauges are read when somebody looks.

    Args:
        gauges: numbers of now, by name.

    Attributes:
        items: recommended items that went out.
        left_out: items that were left out because their set was swapped while the request ran.
        swaps: constraint sets created, replaced or removed.
        left: clients that went away before their answer was complete, by route.
    """

    def __init__(self, gauges: Callable[[], Mapping[str, float]]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "agentrec_requests", "Answered requests", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "agentrec_request_seconds", "Time to answer", ["route"], buckets=BUCKETS, registry=self.registry
        )
        self.items = Counter("agentrec_items", "Recommended items", registry=self.registry)
        self.left_out = Counter("agentrec_items_left_out", "Items outside a swapped set", registry=self.registry)
        self.swaps = Counter("agentrec_set_swaps", "Constraint sets put or removed", registry=self.registry)
        self.left = Counter(
            "agentrec_clients_left", "Clients that went away unanswered", ["route"], registry=self.registry
        )
        self.registry.register(_Gauges(gauges))

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """Numbers of now."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self._read().items():
            yield GaugeMetricFamily(f"agentrec_{name}", name.replace("_", " "), value=value)
