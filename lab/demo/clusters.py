"""The demo's part with three clusters: members join, a policy splits requests, one member is cut off and comes back.

Who answered is counted from the pods' own words.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import load
from lab.cluster import Cluster, Lab
from lab.demo import objects
from lab.demo.report import Cut, Report
from lab.demo.tally import Tally
from lab.demo.target import Target
from lab.errors import LabError
from lab.images import ECHO

CENTRE = "centre"
MEMBERS = ("wuhan", "zhuhai")
LOST = "zhuhai"
REQUESTS = 5000
RATE = 200
_CUT_SECONDS = 5.0
_BACK_SECONDS = 60.0


def program(target: Target, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the checkout's `gateway-operator` on the centre."""
    command = [str(Path(sys.executable).parent / "gateway-operator"), *args]
    env = {**os.environ, "KUBECONFIG": str(target.kubeconfig)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def join(target: Target, member: Cluster, *options: str) -> str:
    """Run `gateway-operator join` as an administrator of both clusters would; returns what it said. Raises LabError."""
    done = program(target, "join", member.name, "--kubeconfig", str(member.kubeconfig), *options)
    if done.returncode:
        raise LabError(f"`gateway-operator join {member.name}` failed:\n{done.stderr}{done.stdout}".strip())
    return done.stdout


def join_members(target: Target, lab: Lab) -> None:
    """Put the app into both members and make them members."""
    for name in MEMBERS:
        lab[name].kubectl("apply", "-f", "-", input=objects.cafe(name, ECHO))
        print(f"    $ gateway-operator join {name} --kubeconfig {name}.kubeconfig", flush=True)
        for line in join(target, lab[name]).splitlines():
            print(f"    {line}", flush=True)
    target.show("get", "mcl")


@dataclass(frozen=True)
class Counted:
    """The way to the policy's service through a gateway; what is sent on it is counted."""

    way: load.Way
    gateway: str
    tally: Tally

    def send(self, total: int) -> Counter[str]:
        """Send requests as fast as they are answered, and count by cluster."""
        return self.keep(load.volley(self.way, total))

    def keep(self, answers: list[load.Answer]) -> Counter[str]:
        """Count by cluster what was sent on the way."""
        self.tally.add(self.gateway, self.way.host, self.way.path, ((answer.status, answer.took) for answer in answers))
        return load.by_cluster(answers)


def split(target: Target, counted: Counted, report: Report) -> None:
    """Apply the sample policy and count who answers some thousand requests."""
    print(f"    the sample, unchanged: {objects.POLICY.relative_to(objects.ROOT)}", flush=True)
    target.apply(objects.POLICY.read_text())
    for condition in ("Programmed", "BackendsReady"):
        target.kubectl("wait", "ctp/cafe", "-n", "default", f"--for=condition={condition}", "--timeout=60s")
    target.wait("both members answer", lambda: set(counted.send(50)) == set(MEMBERS), _BACK_SECONDS)
    answers = counted.send(REQUESTS)
    desired = shares(target, "cafe")
    _tell(answers, desired)
    if set(answers) - set(desired):
        raise LabError(f"not every request was answered: {dict(answers)}")
    report.split, report.policy = dict(answers), desired
    target.show("get", "ctp", "cafe", "-n", "default")


def cut_off(target: Target, lab: Lab, counted: Counted, report: Report) -> None:
    """Drop the packets of a member while requests flow; then let it come back."""
    lost, traffic = lab[LOST], load.Steady(counted.way, RATE)
    with traffic.flowing():
        time.sleep(1)
        at = time.monotonic()
        lost.cut()
        try:
            print(f"    {LOST} is cut off: packets to and from it are dropped, nobody is told", flush=True)
            time.sleep(_CUT_SECONDS)
        finally:
            healed = time.monotonic()
            lost.heal()
        print(f"    {LOST} is there again", flush=True)
        back = target.wait(f"{LOST} answers again", lambda: LOST in _since(traffic, healed), _BACK_SECONDS, pause=0.1)
        time.sleep(1)
    counted.keep(traffic.answers)
    during = traffic.between(at, healed)
    cut = report.cut = Cut(
        requests=len(during),
        failed=sum(not answer.ok for answer in during),
        slowest_s=round(max(answer.took for answer in during), 2),
        slowest_after_a_second_s=round(max(a.took for a in during if a.sent > at + 1), 2),
        back_s=round(back, 1),
        split=dict(load.by_cluster(during)),
    )
    print(
        f"    {cut.requests} requests meanwhile, {cut.failed} failed; the slowest took {cut.slowest_s} s, "
        f"the slowest of those sent more than a second after the cut {cut.slowest_after_a_second_s} s",
        flush=True,
    )
    print(f"    {LOST} answered again {cut.back_s} s after the cut's end", flush=True)
    target.wait("the shares are the policy's again", lambda: _near(counted, report.policy), _BACK_SECONDS)
    _tell(counted.send(REQUESTS // 5), report.policy)


def shares(target: Target, policy: str, namespace: str = "default", path: int = 0) -> dict[str, float]:
    """What a policy's status says that each cluster gets, in percent."""
    status: dict[str, Any] = target.get("ctp", policy, "-n", namespace).get("status", {})
    clusters = status["backends"][path]["clusters"]
    return {cluster["name"]: float(cluster["desired"].rstrip("%")) for cluster in clusters}


def _since(traffic: load.Steady, begin: float) -> Counter[str]:
    return load.by_cluster(traffic.between(begin, time.monotonic()))


def _near(counted: Counted, policy: dict[str, float], total: int = 500) -> bool:
    """Whether a few hundred answers lie within a tenth of the policy."""
    answers = counted.send(total)
    return all(abs(answers[name] / total - share / 100) < 0.1 for name, share in policy.items())  # noqa: PLR2004


def _tell(answers: Counter[str], policy: dict[str, float]) -> None:
    total = sum(answers.values())
    print(f"    {total} requests to cafe.example.com/tea", flush=True)
    for name in sorted({*answers, *policy}):
        print(f"    {answers[name]:>5}  {name:<8} {answers[name] / total:7.2%}, policy {policy.get(name, 0):.2f}%")
