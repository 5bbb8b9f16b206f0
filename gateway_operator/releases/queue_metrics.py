"""What the work queue tells Prometheus, under the names that operators in Go have, so that dashboards go on working."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

RowKey = tuple[str, str]
_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1000)

RECONCILES = Counter("controller_runtime_reconcile_total", "Passes over objects.", ["controller", "result"])
ERRORS = Counter("controller_runtime_reconcile_errors_total", "Passes that failed.", ["controller"])
SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds", "Duration of passes.", ["controller"], buckets=_BUCKETS
)
ACTIVE = Gauge("controller_runtime_active_workers", "Passes that run now.", ["controller"])
MOST = Gauge("controller_runtime_max_concurrent_reconciles", "Passes that may run at once.", ["controller"])
DEPTH = Gauge("workqueue_depth", "Objects that wait for a pass.", ["name"])
ADDS = Counter("workqueue_adds_total", "Objects that were queued.", ["name"])
RETRIES = Counter("workqueue_retries_total", "Passes that will be tried again.", ["name"])
WAITED = Histogram("workqueue_queue_duration_seconds", "Time in the queue.", ["name"], buckets=_BUCKETS)
WORKED = Histogram("workqueue_work_duration_seconds", "Time from the queue to the end.", ["name"], buckets=_BUCKETS)
UNFINISHED = Gauge("workqueue_unfinished_work_seconds", "Age of all passes that run, together.", ["name"])
LONGEST = Gauge("workqueue_longest_running_processor_seconds", "Age of the oldest pass that runs.", ["name"])


def controller_name(kind: str) -> str:
    """Return the label that stands for a row."""
    return f"{kind.lower()}-controller"


class QueueMetrics:
    """Counts for one queue. `ages` returns the seconds that each running pass of a row has taken so far."""

    def __init__(self, ages: Callable[[RowKey], list[float]], workers: int) -> None:
        self._ages = ages
        self._workers = workers
        self._names: dict[RowKey, str] = {}

    def name(self, row: RowKey) -> str:
        """Return a row's label; the first call makes its series known."""
        name = self._names.get(row)
        if name is None:
            name = self._names[row] = controller_name(row[1])
            for result in ("success", "error", "requeue_after"):
                RECONCILES.labels(name, result)
            ERRORS.labels(name)
            RETRIES.labels(name)
            ACTIVE.labels(name).set(0)
            MOST.labels(name).set(self._workers)
            UNFINISHED.labels(name).set_function(lambda: sum(self._ages(row)))
            LONGEST.labels(name).set_function(lambda: max(self._ages(row), default=0.0))
        return name

    def queued(self, row: RowKey) -> None:
        """Count an object that waits."""
        DEPTH.labels(self.name(row)).inc()
        ADDS.labels(self.name(row)).inc()

    def started(self, row: RowKey, waited: float) -> None:
        """Count a pass that begins."""
        DEPTH.labels(self.name(row)).dec()
        WAITED.labels(self.name(row)).observe(waited)
        ACTIVE.labels(self.name(row)).inc()

    def ended(self, row: RowKey, result: str, worked: float) -> None:
        """Count a pass that has ended as success, error or requeue_after."""
        name = self.name(row)
        RECONCILES.labels(name, result).inc()
        SECONDS.labels(name).observe(worked)
        WORKED.labels(name).observe(worked)
        ACTIVE.labels(name).dec()
        if result == "error":
            ERRORS.labels(name).inc()
            RETRIES.labels(name).inc()

    def close(self) -> None:
        """Say that nothing waits and nothing runs."""
        for name in self._names.values():
            DEPTH.labels(name).set(0)
            ACTIVE.labels(name).set(0)
            for gauge in (UNFINISHED, LONGEST):
                gauge.labels(name).set_function(lambda: 0.0)
