"""What the demo saw, as JSON for programs and as a summary for people."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPORT = Path(__file__).resolve().parents[1] / "report.json"


@dataclass
class Requests:
    """HTTP requests sent through the gateways; `ok` answered 200 by the right backend."""

    sent: int = 0
    ok: int = 0
    by_backend: dict[str, int] = field(default_factory=dict)


@dataclass
class Cut:
    """What became of the requests sent while a member was cut off, and how soon it answered again afterwards.

    Times are seconds; `slowest_after_a_second_s` is of those that were sent more than a second after the cut.
    """

    requests: int
    failed: int
    slowest_s: float
    slowest_after_a_second_s: float
    back_s: float
    split: dict[str, int]


@dataclass
class Pair:
    """What the API said, and what the load generator counted."""

    asked: float
    counted: float


@dataclass
class Asked:
    """One user's view of one gateway since the traffic began.

    Latencies are seconds, counted at the client. What is `counted` was answered; of those `unanswered` nobody knows
    whether the gateway saw them.
    """

    view: str
    requests: Pair
    success_rate: Pair
    latency_p95_seconds: Pair
    log_lines: Pair
    unanswered: int = 0

    def rows(self) -> list[str]:
        """Lines of a table: name, the API's word, the load generator's."""
        rate, latency = self.success_rate, self.latency_p95_seconds
        return [
            f"{'':<14}{'the API says':>14}{'counted':>14}",
            f"{'requests':<14}{self.requests.asked:>14.0f}{self.requests.counted:>14.0f}",
            f"{'success rate':<14}{rate.asked:>14.2%}{rate.counted:>14.2%}",
            f"{'95% within':<14}{latency.asked:>12.3f} s{latency.counted:>12.3f} s at the client",
            f"{'access lines':<14}{self.log_lines.asked:>14.0f}{self.log_lines.counted:>14.0f}",
            *([f"{'no answer':<14}{'':>14}{self.unanswered:>14}"] if self.unanswered else []),
        ]


@dataclass
class Report:
    """The report: gateways that are served, requests, milliseconds until a repair was seen, seconds of each step.

    `split` has the requests that each cluster answered, `policy` the percent that it should, `api` what the API says of
    the traffic; they are empty on a user's cluster.
    """

    gateways: list[dict[str, object]] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    requests: Requests = field(default_factory=Requests)
    split: dict[str, int] = field(default_factory=dict)
    policy: dict[str, float] = field(default_factory=dict)
    cut: Cut | None = None
    api: list[Asked] = field(default_factory=list)
    repaired_ms: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Say what begins, and keep how long it took."""
        print(f"\n==> {title}", flush=True)
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)

    def write(self) -> None:
        """Write the report beside the lab."""
        REPORT.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def summary(self) -> str:
        """The report in a few lines."""
        lines = [
            f"  {g['scope']:<8} gateway {g['name']}: ready={g['ready']}, address {g['address']}" for g in self.gateways
        ]
        lines += [f"  {'refused':<8} gateway {g['name']}: {g['message']}" for g in self.refused]
        lines.append(f"  requests: {self.requests.ok} of {self.requests.sent} answered by the right backend")
        lines += [f"    {count:>5}  {backend}" for backend, count in sorted(self.requests.by_backend.items())]
        total = sum(self.split.values())
        lines += [
            f"  {name}: {count} of {total} requests ({count / total:.2%}), policy {self.policy.get(name, 0):.2f}%"
            for name, count in sorted(self.split.items())
        ]
        if self.cut:
            lines.append(f"  a member cut off: {self.cut.failed} of {self.cut.requests} requests failed")
        lines += [f"  {what}: back after {ms} ms" for what, ms in self.repaired_ms.items()]
        lines += [
            f"  {one.view}: {one.requests.asked:.0f} requests by the API, {one.requests.counted:.0f} counted"
            for one in self.api
        ]
        whole = sum(self.seconds.values())
        lines.append("  seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in self.seconds.items()) + f" = {whole:.0f}")
        return "\n".join(lines)
