"""charts/ingress-nginx: containers, flags, configuration and Services, each by its value."""

from __future__ import annotations

import pytest

from ingress_nginx_release import ALWAYS, NAME, UPSTREAM, containers, controller, flags, pod


def test_objects_without_any_value(render):
    """Names are upstream's; no webhook, no Job, nothing optional."""
    assert render().names() == ALWAYS


def test_names(render):
    """A release that has the chart's name in its own, and the form that KubeSphere uses: no suffix at all."""
    assert ("Deployment", "ingress-nginx-controller") in render(name="ingress-nginx").names()
    bare = render({"fullnameOverride": "router", "controller": {"name": ""}})
    assert {("Deployment", "router"), ("Service", "router"), ("ConfigMap", "router")} <= bare.names()
    assert ("Role", "gw-web") in render({"nameOverride": "web"}).names()
    elsewhere = render({"namespaceOverride": "other"})
    assert {o["metadata"].get("namespace", "other") for o in elsewhere.objects} == {"other"}


def test_labels(render):
    """Recommended labels everywhere, and a selector that never changes with the chart's version."""
    rendered = render({"commonLabels": {"team": "edge"}})
    for obj in rendered.objects:
        labels = obj["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/part-of"] == "ingress-nginx"
        assert labels["team"] == "edge"
    assert rendered.one("Deployment")["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "ingress-nginx",
        "app.kubernetes.io/instance": "gw",
        "app.kubernetes.io/component": "controller",
    }


def test_two_containers_with_our_image(render):
    """Only the controller has a token; nginx runs as another user, and neither can become more than it is."""
    rendered = render()
    spec, both = pod(rendered), containers(rendered)
    assert set(both) == {"controller", "nginx"}
    assert spec["automountServiceAccountToken"] is False
    token = [c for c in both.values() if any(m["name"] == "token" for m in c["volumeMounts"])]
    assert [c["name"] for c in token] == ["controller"]
    assert both["controller"]["securityContext"]["runAsUser"] == 10001
    assert both["nginx"]["securityContext"]["runAsUser"] == 101
    for container in both.values():
        context = container["securityContext"]
        assert context["capabilities"]["drop"] == ["ALL"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert (context["runAsNonRoot"], context["runAsGroup"]) == (True, 101)
        assert {"name": "run", "mountPath": "/run/gateway"} in container["volumeMounts"]
        assert "/tmp" in {m["mountPath"] for m in container["volumeMounts"]}
    assert "add" not in both["controller"]["securityContext"]["capabilities"]
    # the file capability of the binary must be within bounds, or it doesn't start
    assert both["nginx"]["securityContext"]["capabilities"]["add"] == ["NET_BIND_SERVICE"]
    assert spec["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert spec["securityContext"]["fsGroup"] == 101
    assert next(v for v in spec["volumes"] if v["name"] == "run")["emptyDir"] == {"medium": "Memory"}
    assert both["controller"]["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert both["controller"]["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert both["nginx"]["args"] == ["nginx", "--shutdown-grace-period=10"]
    assert {p["name"]: p["containerPort"] for p in both["nginx"]["ports"]} == {"http": 80, "https": 443}


def test_one_container_with_the_upstream_image(render):
    """The image's name decides: upstream's gets upstream's entry point, flags, probes and way to stop."""
    rendered = render(controller(**UPSTREAM))
    (container,) = pod(rendered)["containers"]
    assert container["image"] == "registry.example/ingress-nginx/controller:v1.15.1"
    assert container["args"][0] == "/nginx-ingress-controller"
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["/wait-shutdown"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert "volumes" not in pod(rendered)


@pytest.mark.parametrize(
    ("image", "plane", "expected", "name"),
    [
        ({}, "auto", 2, "gateway-operator:0.1.0"),
        ({"registry": "r.example"}, "auto", 2, "r.example/gateway-operator:0.1.0"),
        (
            {"image": "ingress-nginx/controller", "registry": "r.example", "tag": "v1"},
            "auto",
            1,
            "r.example/ingress-nginx/controller:v1",
        ),
        ({"repository": "r.example/gateway-operator/x"}, "auto", 1, "r.example/gateway-operator/x:0.1.0"),
        ({"repository": "r.example/x"}, "native", 2, "r.example/x:0.1.0"),
        ({"digest": "sha256:aa"}, "auto", 2, "gateway-operator@sha256:aa"),
        ({"tag": "v2", "digest": "sha256:aa"}, "upstream", 1, "gateway-operator:v2@sha256:aa"),
        (
            {"repository": "x/y", "chroot": True, "tag": "1", "digestChroot": "sha256:bb"},
            "upstream",
            1,
            "x/y-chroot:1@sha256:bb",
        ),
    ],
)
def test_the_image_decides_the_data_plane(render, image, plane, expected, name):
    """Registry, repository, tag, digest and chroot as upstream puts them together; dataPlane overrides the guess."""
    rendered = render(controller(image=image, dataPlane=plane))
    assert len(pod(rendered)["containers"]) == expected
    assert pod(rendered)["containers"][0]["image"] == name


def test_flags_that_are_always_there(render):
    """As in upstream, with its defaults."""
    assert flags(render()) == [
        f"--publish-service=$(POD_NAMESPACE)/{NAME}",
        "--election-id=gw-ingress-nginx-leader",
        "--controller-class=k8s.io/ingress-nginx",
        "--ingress-class=nginx",
        f"--configmap=$(POD_NAMESPACE)/{NAME}",
        "--multi-cluster-configmap=$(POD_NAMESPACE)/gw-ingress-nginx-multicluster",
    ]


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        (
            {"defaultBackend": {"enabled": True}},
            "--default-backend-service=$(POD_NAMESPACE)/gw-ingress-nginx-defaultbackend",
        ),
        (controller(publishService={"pathOverride": "a/b"}), "--publish-service=a/b"),
        (
            controller(
                service={"external": {"enabled": False}, "internal": {"enabled": True, "annotations": {"a": "b"}}}
            ),
            f"--publish-service=$(POD_NAMESPACE)/{NAME}-internal",
        ),
        ({"tcp": {"8080": "a/b:1"}}, "--tcp-services-configmap=$(POD_NAMESPACE)/gw-ingress-nginx-tcp"),
        ({"udp": {"53": "a/b:1"}}, "--udp-services-configmap=$(POD_NAMESPACE)/gw-ingress-nginx-udp"),
        (controller(scope={"enabled": True}), "--watch-namespace=$(POD_NAMESPACE)"),
        (controller(scope={"enabled": True, "namespace": "team"}), "--watch-namespace=team"),
        (controller(hostNetwork=True, reportNodeInternalIp=True), "--report-node-internal-ip-address=true"),
        (controller(ingressClassByName=True), "--ingress-class-by-name=true"),
        (controller(watchIngressWithoutClass=True), "--watch-ingress-without-class=true"),
        (controller(metrics={"enabled": True}), "--enable-metrics=true"),
        (controller(enableTopologyAwareRouting=True), "--enable-topology-aware-routing=true"),
        (controller(disableLeaderElection=True), "--disable-leader-election=true"),
        (controller(electionTTL="20s"), "--election-ttl=20s"),
        (controller(electionID="mine"), "--election-id=mine"),
        (controller(enableAnnotationValidations=False), "--enable-annotation-validation=false"),
        (controller(healthCheckHost="127.0.0.1"), "--healthz-host=127.0.0.1"),
        (controller(healthCheckPath="/alive"), "--health-check-path=/alive"),
        (controller(maxmindLicenseKey="k"), "--maxmind-license-key=k"),
        (controller(containerPort={"http": 8080, "https": 8443}), "--http-port=8080"),
        (controller(statusPort=10300), "--status-port=10300"),
        (controller(extraArgs={"v": 3}), "--v=3"),
        (controller(extraArgs={"update-status": False}), "--update-status=false"),
        (controller(extraArgs={"disable-catch-all": ""}), "--disable-catch-all"),
        (controller(ingressClassResource={"controllerValue": "x.example/y"}), "--controller-class=x.example/y"),
    ],
)
def test_flags_by_value(render, values, flag):
    """Each value gives its flag, and without it the flag isn't there."""
    assert flag in flags(render(values))
    assert flag not in flags(render())


def test_flags_of_the_upstream_image_only(render):
    """What our controller doesn't support is refused in words, not by a pod that restarts for ever."""
    selector = {"scope": {"namespaceSelector": "a=b"}}
    assert "--watch-namespace-selector=a=b" in flags(render(controller(**selector, **UPSTREAM)))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (controller(scope={"namespaceSelector": "a=b"}), "namespaceSelector is not supported"),
        ({"rbac": {"scope": True}}, "rbac.scope needs controller.scope.enabled"),
        (controller(nosuchkey=1), "nosuchkey"),
        ({"nosuchkey": 1}, "nosuchkey"),
        (controller(kind="StatefulSet"), "DaemonSet"),
        (controller(service={"type": "ExternalName"}), "LoadBalancer"),
        (controller(service={"nosuchkey": 1}), "nosuchkey"),
        (controller(replicaCount="two"), "replicaCount"),
        ({"tcp": {"http": "a/b:1"}}, "http"),
    ],
)
def test_refused_values(helm, values, text):
    """Helm stops with the name of the value."""
    assert text in helm.refusal("ingress-nginx", values)


def test_values_without_effect_are_named_in_the_notes(helm):
    """Upstream's keys that our image can't honour are never dropped in silence."""
    values = {
        "dhParam": "x",
        "controller": {"allowSnippetAnnotations": True, "admissionWebhooks": {"patch": {"image": {}}}},
    }
    from helm_runner import CHARTS

    done = helm.run("install", "gw", str(CHARTS / "ingress-nginx"), "--dry-run=client", values=values)
    assert done.returncode == 0, done.stderr
    notes = done.stdout[done.stdout.index("WARNING: these values are set") :].split()
    assert {"dhParam", "controller.allowSnippetAnnotations", "controller.admissionWebhooks.patch"} <= set(notes)


def test_config_map(render):
    """Every value becomes a text; numbers keep their digits."""
    config = {
        "keep-alive": 75,
        "use-gzip": True,
        "max-worker-connections": 1000000,
        "proxy-body-size": "8m",
        "gone": None,
    }
    rendered = render(
        controller(config=config, addHeaders={"X-A": "1"}, proxySetHeaders={"X-B": "2"}) | {"dhParam": "aa"}
    )
    assert rendered.one("ConfigMap", NAME)["data"] == {
        "keep-alive": "75",
        "use-gzip": "true",
        "max-worker-connections": "1000000",
        "proxy-body-size": "8m",
        "add-headers": "ns/gw-ingress-nginx-custom-add-headers",
        "proxy-set-headers": "ns/gw-ingress-nginx-custom-proxy-headers",
        "ssl-dh-param": f"ns/{NAME}",
    }
    assert rendered.one("ConfigMap", "gw-ingress-nginx-custom-add-headers")["data"] == {"X-A": "1"}
    assert rendered.one("Secret")["data"] == {"dhparam.pem": "aa"}
    assert render().one("ConfigMap")["data"] == {}


def test_namespaces_of_other_gateways_are_told_to_our_controller_only(render):
    """Upstream's controller has no such key."""
    values = {"statusExcludedNamespaces": ["a", "b"]}
    assert render(controller(**values)).one("ConfigMap")["data"] == {"status-excluded-namespaces": "a,b"}
    assert render(controller(**values, **UPSTREAM)).one("ConfigMap")["data"] == {}


def test_a_new_config_rolls_no_pod(render):
    """The controller takes it up while it runs."""
    assert render().one("Deployment") == render(controller(config={"keep-alive": "5"})).one("Deployment")


def test_templates_are_expanded_only_where_allowed(render):
    """As upstream does for whoever runs helm; the text of a Gateway stays what it is."""
    config = {"config": {"x": "{{ .Release.Name }}"}, "service": {"annotations": {"a": "{{ .Release.Name }}"}}}
    rendered = render(controller(**config))
    assert rendered.one("ConfigMap")["data"] == {"x": "gw"}
    assert rendered.one("Service")["metadata"]["annotations"] == {"a": "gw"}
    plain = render(controller(**config, expandTemplates=False))
    assert plain.one("ConfigMap")["data"] == {"x": "{{ .Release.Name }}"}
    assert plain.one("Service")["metadata"]["annotations"] == {"a": "{{ .Release.Name }}"}


EVIL = 'x"\nexternalIPs: [1.2.3.4]\nfoo: "'


@pytest.mark.parametrize(
    "values",
    [
        controller(
            service={"clusterIP": EVIL, "loadBalancerClass": EVIL, "trafficDistribution": EVIL, "loadBalancerIP": EVIL}
        ),
        controller(service={"targetPorts": {"http": EVIL}, "annotations": {"a": EVIL}, "labels": {"a": EVIL}}),
        controller(
            metrics={"enabled": True, "portName": EVIL, "serviceMonitor": {"enabled": True, "scrapeInterval": EVIL}}
        ),
        controller(
            config={"a": EVIL}, annotations={"a": EVIL}, podAnnotations={"a": EVIL}, minAvailable=EVIL, replicaCount=2
        ),
        controller(ingressClass=EVIL, extraArgs={"a": EVIL}, priorityClassName=EVIL),
    ],
)
def test_no_text_becomes_structure(render, values):
    """A value that tries to end its line stays one text."""
    for obj in render(values).objects:
        assert "externalIPs" not in obj.get("spec", {})
        assert "foo" not in obj.get("spec", {})


def test_tcp_and_udp_ports(render):
    """They get ConfigMaps, container ports and Service ports, with the prefix where there is one."""
    values = {"tcp": {"8080": "a/b:1"}, "udp": {"53": "a/c:2"}, "portNamePrefix": "p"}
    rendered = render(
        values | controller(service={"type": "NodePort", "nodePorts": {"http": 30080, "tcp": {"8080": 30081}}})
    )
    assert rendered.one("ConfigMap", "gw-ingress-nginx-tcp")["data"] == {"8080": "a/b:1"}
    ports = {p["name"]: p for p in rendered.one("Service")["spec"]["ports"]}
    assert (ports["p-8080-tcp"]["nodePort"], ports["p-8080-tcp"]["targetPort"]) == (30081, "p-8080-tcp")
    assert (ports["p-53-udp"]["protocol"], ports["http"]["nodePort"]) == ("UDP", 30080)
    assert "nodePort" not in ports["https"]
    assert "p-53-udp" in {p["name"] for p in containers(rendered)["nginx"]["ports"]}


def test_service_options(render):
    """What users set for clouds arrives; what they don't set isn't there."""
    plain = render().one("Service")["spec"]
    assert set(plain) == {"type", "ipFamilyPolicy", "ipFamilies", "ports", "selector"}
    options = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalIPs": ["192.0.2.1"],
        "allocateLoadBalancerNodePorts": False,
        "healthCheckNodePort": 30000,
        "sessionAffinity": "ClientIP",
    }
    spec = render(controller(service=options)).one("Service")["spec"]
    assert {key: spec[key] for key in options} == options
    http = render(controller(service={"enableHttps": False, "appProtocol": False})).one("Service")["spec"]["ports"]
    assert http == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]


def test_services_by_condition(render):
    """External, internal (only with annotations, as upstream) and metrics."""
    assert not render(controller(service={"enabled": False})).all("Service")
    internal = {"enabled": True}
    assert len(render(controller(service={"internal": internal})).all("Service")) == 1
    internal["annotations"] = {"a": "b"}
    rendered = render(controller(service={"internal": internal}, metrics={"enabled": True}))
    assert {o["metadata"]["name"] for o in rendered.all("Service")} == {NAME, f"{NAME}-internal", f"{NAME}-metrics"}
    assert not containers(render())["controller"].get("ports")


def test_keys_of_older_charts_are_taken(render):
    """A whole values file of any ingress-nginx chart 4.x can be used: keys that mean nothing any more are no error."""
    older = {"hostname": {}, "hostAliases": {}, "existingPsp": "", "autoscaling": {"apiVersion": "autoscaling/v2"}}
    backend = {"existingPsp": "", "service": {"clusterIPs": ["10.0.0.9"]}, "autoscaling": {"apiVersion": ""}}
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
    rendered = render(
        {**controller(**older, resizePolicy=policy), "defaultBackend": {**backend, "enabled": True}},
    )
    assert containers(rendered)["nginx"]["resizePolicy"] == policy
    assert "hostname" not in pod(rendered)
    services = [o for o in rendered.all("Service") if o["metadata"]["name"].endswith("defaultbackend")]
    assert services[0]["spec"]["clusterIPs"] == ["10.0.0.9"]
