"""The doctor finds each fault that is injected into a cluster, and says nothing of a healthy one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from doctor_clinic import GROUP, HOME, OPERATOR, ROOT, Clinic, conditions, event, gateway, now, record
from gateway_operator.commands.doctor import command, releases
from gateway_operator.commands.session import Session
from gateway_operator.releases import names
from lab.apiserver import ApiCluster
from releases_lab import eventually


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, helm_binary: Path) -> Iterator[Clinic]:
    cluster = ApiCluster.start(tmp_path_factory.mktemp("clinic"), "clinic")
    clinic = Clinic(cluster, helm_binary)
    clinic.install()
    yield clinic
    clinic.readyz.server.shutdown()
    clinic.readyz.server.server_close()
    cluster.stop()


@pytest.fixture
async def clinic(hospital: Clinic) -> Clinic:
    await hospital.heal()
    return hospital


@pytest.fixture
def ask(clinic: Clinic, capsys: pytest.CaptureFixture[str]):
    """Run the doctor; returns the exit code and the findings as lines."""

    async def asked(kubeconfig: Path | None = None, watches: Path = ROOT / "watches.yaml") -> tuple[int, list[str]]:
        capsys.readouterr()
        code = await command.run(Session(kubeconfig or clinic.cluster.kubeconfig, output="json"), None, watches)
        findings = json.loads(capsys.readouterr().out)["findings"]
        return code, [f"{f['severity']} {f['area']} {f['object']}: {f['meaning']} -> {f['remedy']}" for f in findings]

    return asked


@pytest.fixture
def expect(ask):
    """Expect, for each of these, a line that has all of its words, and the exit code; returns all lines."""

    async def expected(*findings: tuple[str, ...], code: int = 1, **more: Any) -> list[str]:
        found_code, lines = await ask(**more)
        for words in findings:
            assert any(all(word in line for word in words) for line in lines), (words, lines)
        assert found_code == code, lines
        return lines

    return expected


@pytest.fixture
async def namespace_of_test(clinic: Clinic) -> AsyncIterator[str]:
    name = f"t-{uuid.uuid4().hex[:6]}"
    clinic.kubectl("create", "namespace", name)
    yield name
    for kind in ("gateways", "nginxes"):
        for item in clinic.look(f"{kind}.{GROUP}", "-n", name)["items"]:
            patch = '{"metadata":{"finalizers":null}}'
            with contextlib.suppress(subprocess.CalledProcessError):
                what = (f"{kind}.{GROUP}", item["metadata"]["name"], "-n", name)
                clinic.kubectl("patch", *what, "--type=merge", "-p", patch)
                clinic.kubectl("delete", *what, "--ignore-not-found")
    clinic.kubectl("delete", "deployment,secret,events", "--all", "-n", name)
    clinic.kubectl("delete", "namespace", name, "--wait=false")


async def test_a_healthy_installation_has_no_findings(ask):
    """Nothing is wrong: exit code 0 and not one line."""
    assert await ask() == (0, [])


async def test_an_api_server_that_is_away(expect, tmp_path, clinic):
    """The first and only thing that is said."""
    config = yaml.safe_load(clinic.cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    await expect(("problem cluster https://127.0.0.1:1", "can't be reached"), kubeconfig=file)


async def test_crds_of_somebody_else_and_of_another_version(expect, clinic):
    """A CRD without our label, and one that an older chart installed."""
    name = f"gateways.{GROUP}"
    clinic.kubectl("label", "crd", name, "app.kubernetes.io/part-of-", "app.kubernetes.io/version-")
    await expect(("problem crds", name, "another installation made it", "--take-ownership"))
    clinic.kubectl(
        "label", "crd", name, "app.kubernetes.io/part-of=gateway-operator", "app.kubernetes.io/version=0.0.9"
    )
    await expect(("warning crds", name, "of version 0.0.9"), code=0)
    clinic.kubectl("label", "--overwrite", "crd", name, "app.kubernetes.io/version=0.1.0")


async def test_pods_of_the_operator_that_do_not_run(expect, clinic):
    """Images, crashes and restarts are named; without a ready pod nothing is looked after."""
    first, second = clinic.pods()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    died = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    base = {"name": "operator", "ready": False, "image": "x:1", "imageID": ""}
    not_ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    clinic.status(
        {**not_ready, "containerStatuses": [{**base, "restartCount": 0, "state": waiting}]}, "pod", first, "-n", HOME
    )
    crashed = {**base, "restartCount": 7, "state": crash, "lastState": died}
    clinic.status({**not_ready, "containerStatuses": [crashed]}, "pod", second, "-n", HOME)

    async def seen() -> bool:
        found = await asyncio.to_thread(clinic.look, "deployment", OPERATOR, "-n", HOME)
        return not found["status"].get("readyReplicas")

    await eventually(seen)
    await expect(
        ("problem operator", first, "image x:1", "can't be pulled", "no such tag"),
        ("problem operator", second, "ends again and again", "OOMKilled, exit code 137", "more memory"),
        ("warning operator", second, "restarted 7 times"),
        ("problem operator", OPERATOR, "no pod is ready: nothing is looked after"),
    )


async def test_what_the_operator_says_of_itself(expect, clinic):
    """Its /readyz is asked through the API server: problems, rows that wait, a file that can't be used."""
    clinic.readyz.says |= {
        "ready": False,
        "problems": ["watch of Secret: forbidden"],
        "rows": {"Web.example.com": {"serving": False, "problem": "no such kind"}},
        "reload": "row 2 (Web): chart: is missing",
    }
    await expect(
        ("problem operator", "watch of Secret: forbidden"),
        ("warning operator", "row Web.example.com is not served: no such kind"),
        ("problem operator", "the watches.yaml on disk is not in use: row 2"),
    )


async def test_a_lease_that_nobody_holds_or_renews(expect, clinic):
    """Absent, empty, or left behind."""
    clinic.lease(holder="gone", renewed=now(minutes=10))
    await expect(("problem operator", "Lease", "gone renewed it 10 min ago"))
    clinic.lease(holder="")
    await expect(("problem operator", "nobody holds it"))
    clinic.kubectl("delete", "lease", "gateway-operator", "-n", HOME)
    await expect(("problem operator", "nobody leads"))


async def test_a_missing_right_is_named(expect, clinic):
    """A rule that was taken out of the ClusterRole shows with verbs and resource."""
    role = clinic.look("clusterrole", OPERATOR)
    kept = [r for r in role["rules"] if "ingressclasses" not in r["resources"]]
    patch = json.dumps({"rules": kept})
    clinic.kubectl("patch", "clusterrole", OPERATOR, "--type=merge", "-p", patch)
    try:
        await eventually(lambda: _lacks(clinic))
        await expect(("problem rights", f"{HOME}:{OPERATOR}", "it may not get, list, watch, create", "ingressclasses"))
    finally:
        clinic.kubectl("patch", "clusterrole", OPERATOR, "--type=merge", "-p", json.dumps({"rules": role["rules"]}))
        await eventually(lambda: _has_it(clinic))  # the next test must find it whole


async def _lacks(clinic: Clinic) -> bool:
    account = f"--as=system:serviceaccount:{HOME}:{OPERATOR}"
    with contextlib.suppress(subprocess.CalledProcessError):
        await asyncio.to_thread(clinic.kubectl, "auth", "can-i", "get", "ingressclasses", account)
        return False
    return True


async def _has_it(clinic: Clinic) -> bool:
    return not await _lacks(clinic)


async def test_charts_that_do_not_load(expect, tmp_path):
    """Every problem of watches.yaml is a line."""
    file = tmp_path / "watches.yaml"
    file.write_text("- {group: a.example.com, version: v1, kind: Web, chart: /absent}\n- {kind: b}\n")
    await expect(
        ("problem charts", "row 1 (Web): chart: /absent"),
        ("problem charts", "row 2", "kind: 'b' is no kind"),
        watches=file,
    )


async def test_releases_that_hang_failed_grew_or_lost_their_object(expect, clinic, namespace_of_test, monkeypatch):
    """Each state of a record that needs somebody."""
    where = namespace_of_test
    gateway(clinic, where, "there")
    owner = names.owner_value(GROUP, "Gateway", "there")
    clinic.apply(record(where, "there", "pending-upgrade", owner=owner))
    await expect(("info releases", f"{where}/there", "helm is at work (pending-upgrade"), code=0)
    monkeypatch.setattr(releases, "_MARGIN", -1000.0)  # time flies
    clinic.apply(record(where, "broken", "failed", owner=owner))
    clinic.kubectl("create", "-f", "-", obj=record(where, "big", "deployed", owner=owner, size=950 * 1024))
    clinic.apply(record(where, "lost", "deployed", owner=names.owner_value(GROUP, "Gateway", "lost")))
    clinic.apply(record(where, "theirs", "failed", owner=""))
    lines = await expect(
        ("problem releases", f"{where}/there", "pending-upgrade for", "helm is gone"),
        ("problem releases", f"{where}/broken", "revision 1 failed"),
        ("problem releases", f"{where}/big", "its record has 950 KB"),
        ("warning releases", f"{where}/lost", "nobody looks after it", f"helm uninstall lost -n {where}"),
    )
    assert "theirs" not in "".join(lines)


async def test_objects_that_are_not_ready_refused_or_held(expect, clinic, namespace_of_test):
    """A problem with its reason; a refusal, a hold and drift are told apart from it."""
    where = namespace_of_test
    no, yes = ({"type": "Ready", "status": status} for status in ("False", "True"))
    fine = {**yes, "reason": "Ready", "message": ""}
    refusal = {"reason": "ProjectGatewayExists", "message": "there is one"}
    cases = {
        "refused": ({**no, **refusal}, {"type": "Accepted", "status": "False", **refusal}),
        "held": (
            {**no, "reason": "RolledBack", "message": "held"},
            {"type": "Held", "status": "True", "reason": "RolledBack", "message": "held at revision 1"},
        ),
        "drifted": (
            fine,
            {"type": "Drifted", "status": "True", "reason": "DriftDetected", "message": "Service x differs"},
        ),
        "waiting": (
            fine,
            {"type": "AddressAssigned", "status": "False", "reason": "LoadBalancerPending", "message": "none yet"},
        ),
        "partial": (
            fine,
            {
                "type": "IngressesServed",
                "status": "False",
                "reason": "IngressesLeftOut",
                "message": "shop/bad: no size",
            },
        ),
        "older": (fine,),
    }
    for name, found in cases.items():
        gateway(clinic, where, name)
        conditions(clinic, where, name, *found)
    gateway(clinic, where, "older", spec={"service": {"type": "NodePort"}})
    await expect(
        ("info objects", f"Gateway {where}/refused", "refused (ProjectGatewayExists)"),
        ("info objects", f"Gateway {where}/held", "held at revision 1", "--resume"),
        ("warning objects", f"Gateway {where}/drifted", "Service x differs"),
        ("warning gateways", f"Gateway {where}/waiting", "no address: none yet"),
        ("warning gateways", f"Gateway {where}/partial", "shop/bad: no size", "mend or delete it"),
        ("warning objects", f"Gateway {where}/older", "its status is about an older spec"),
        code=0,
    )
    conditions(clinic, where, "held", {**no, "reason": "UpgradeError", "message": "boom"})
    await expect(("problem objects", f"Gateway {where}/held", "not ready (UpgradeError): boom"))


async def test_finalizers_that_nobody_will_remove(expect, clinic, namespace_of_test):
    """A deleted object hangs while no operator runs; the command that helps is named."""
    where = namespace_of_test
    gateway(clinic, where, "one", metadata={"finalizers": [names.FINALIZER]})
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
    conditions(clinic, where, "one", ready)
    clinic.kubectl("scale", "deployment", OPERATOR, "-n", HOME, "--replicas=0")
    try:

        async def gone() -> bool:
            found = await asyncio.to_thread(clinic.look, "deployment", OPERATOR, "-n", HOME)
            return not found["status"].get("readyReplicas")

        for pod in clinic.pods():
            clinic.kubectl("delete", "pod", pod, "-n", HOME, "--force", "--grace-period=0")
        await eventually(gone)
        await expect(
            ("problem operator", "it is scaled to 0"),
            ("warning objects", "1 object(s) carry the operator's finalizer", "gateway-operator detach"),
        )
        clinic.kubectl("delete", f"gateways.{GROUP}", "one", "-n", where, "--wait=false")
        await expect(("problem objects", f"Gateway {where}/one", "no operator runs", "gateway-operator detach"))
    finally:
        clinic.kubectl("scale", "deployment", OPERATOR, "-n", HOME, "--replicas=2")


async def test_pods_of_gateways_and_what_keeps_them(expect, clinic, namespace_of_test):
    """Unschedulable, an image that can't be pulled, and no pods at all because a quota refuses them."""
    where = namespace_of_test
    labels = {"app.kubernetes.io/component": "controller", "app.kubernetes.io/managed-by": "Helm"}
    container = {"name": "controller", "image": "x:1"}
    clinic.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop", "namespace": where, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )

    async def made() -> bool:
        return len(await asyncio.to_thread(clinic.pods, where)) == 1

    await eventually(made)
    [pod] = clinic.pods(where)
    no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    clinic.status({"phase": "Pending", "conditions": [no_node]}, "pod", pod, "-n", where)
    await expect(("problem gateways", f"Pod {where}/{pod}", "no node takes it: 0/3 nodes fit"))
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "denied"}}
    status = {"name": "controller", "ready": False, "restartCount": 0, "image": "x:1", "imageID": "", "state": waiting}
    clinic.status({"phase": "Pending", "conditions": [], "containerStatuses": [status]}, "pod", pod, "-n", where)
    await expect(("problem gateways", "image x:1", "ErrImagePull", "imagePullSecrets"))


async def test_events_of_fights_and_refused_configuration(expect, clinic, namespace_of_test):
    """What the engine and the gateways have told about in the last hour."""
    where = namespace_of_test
    event(clinic, where, "Gateway", "one", "DriftFight", "Service x is changed again and again by somebody")
    event(clinic, where, "Ingress", "web", "Quarantined", "nginx refuses it")
    await expect(
        ("problem objects", f"Gateway {where}/one", "again and again by somebody", "ignoreRules"),
        ("problem gateways", f"Ingress {where}/web", "nginx refuses it", "last good configuration"),
    )


async def test_classes_in_conflict(expect, clinic, namespace_of_test):
    """Two gateways of one class, a class of another controller, and two defaults."""
    where = namespace_of_test
    spec = {"controller": {"ingressClassResource": {"name": "edge", "controllerValue": f"{GROUP}/a"}}}
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1}
    stamp = now(minutes=30)[:19] + "Z"

    def nginx(name: str) -> None:
        gateway(clinic, where, name, kind="Nginx", spec=spec)
        status = {"conditions": [{**ready, "lastTransitionTime": stamp}]}
        clinic.status(status, f"nginxes.{GROUP}", name, "-n", where)

    annotation = {"ingressclass.kubernetes.io/is-default-class": "true"}
    try:
        for name in ("edge", "other"):
            meta = {"name": name, "annotations": annotation}
            clinic.apply(
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "IngressClass",
                    "metadata": meta,
                    "spec": {"controller": "x/y"},
                }
            )
        nginx("one")
        await expect(
            ("problem gateways", "IngressClass edge:", "its controller is x/y", f"answers to {GROUP}/a"),
            ("problem gateways", "IngressClass edge, other", "more than one class is the default"),
        )
        nginx("two")
        await expect(("problem gateways", "IngressClass edge:", "more than one gateway serves it"))
    finally:
        clinic.kubectl("delete", "ingressclass", "edge", "other")


async def test_members_are_told_of_only_where_the_kind_exists(ask, clinic):
    """Without MemberCluster nothing is said of members."""
    assert not any(" members " in line for line in (await ask())[1])


async def test_people_get_a_table_without_colour(clinic, capsys):
    """The worst first, each with what to do, and a summary at the end."""
    clinic.lease(holder="")
    assert await command.run(Session(clinic.cluster.kubeconfig), None, ROOT / "watches.yaml") == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.startswith(f"PROBLEM  Lease {HOME}/gateway-operator: nobody holds it")
    assert out.rstrip().endswith("1 problem")
