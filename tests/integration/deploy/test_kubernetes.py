"""The Kubernetes manifests: valid in strict mode, no right for anybody, ends that a drain fits into, and
settings, ports and labels that belong together. No cluster is here to apply them to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from control.settings import Settings
from control.settings.load import load_settings
from tests.support.deployment import DEPLOY

FOLDER = DEPLOY / "kubernetes"
VERSION = "1.37"
ROLES = ("gateway", "im", "control")
CLOSES_S = 20  # at most, after server.drain_timeout_s, workers included
Manifest = dict[str, Any]


def manifests() -> Iterator[tuple[str, Manifest]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            for document in yaml.safe_load_all(path.read_text()):
                yield f"{path.stem}-{document['kind']}-{document['metadata']['name']}", document


ALL = dict(manifests())


def of(kind: str) -> list[Manifest]:
    return [manifest for manifest in ALL.values() if manifest["kind"] == kind]


WORKLOADS = {each["metadata"]["name"]: each for each in of("Deployment") + of("StatefulSet")}


def pod(role: str) -> Manifest:
    spec: Manifest = WORKLOADS[role]["spec"]["template"]["spec"]
    return spec


def container(role: str) -> Manifest:
    (only,) = pod(role)["containers"]
    assert only["name"] == role
    return dict(only)


SECRETS = {
    "QIANWAN_STORE__URL": "postgresql://qianwan:x@postgres/qianwan",
    "QIANWAN_BUS__NATS_TOKEN": "t" * 40,
    "QIANWAN_AUTH__KEYS_SECRET": "k3ys" * 11,
    "QIANWAN_OUTGOING__SECRET": "wr4p" * 11,
    "QIANWAN_AUTH__BOOTSTRAP_API_KEY": f"qwk_{'0a' * 6}_{'b' * 43}",
}


def secrets_of(role: str) -> list[Manifest]:
    held = {each["metadata"]["name"]: each["stringData"] for each in of("Secret")}
    return [held[source["secretRef"]["name"]] for source in container(role)["envFrom"]]


def settings_of(role: str, patched: pytest.MonkeyPatch, folder: Path) -> Settings:
    config = folder / f"{role}.toml"
    config.write_text(of("ConfigMap")[0]["data"]["qianwan.toml"])
    secret = {name: SECRETS[name] for held in secrets_of(role) for name in held}
    with patched.context() as patch:
        for name in list(os.environ):
            if name.startswith("QIANWAN_"):
                patch.delenv(name)
        for name, text in secret.items():
            patch.setenv(name, text)
        for each in container(role).get("env", []):
            patch.setenv(each["name"], each.get("value", f"{role}-0"))  # else a field of the pod
        # What the image sets (deploy/Dockerfile).
        patch.setenv("QIANWAN_CONTROL__HTTP", "0.0.0.0:7800")
        patch.setenv("QIANWAN_GATEWAY__LISTEN", "0.0.0.0:7801")
        return load_settings(config, {"server.roles": [role]})


@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_valid(name: str) -> None:
    kubernetes_validate.validate(ALL[name], VERSION, strict=True)


def test_the_kustomization_has_all_but_the_samples_of_secrets() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in FOLDER.glob("*.yaml")}
    assert set(listed) == files - {"kustomization.yaml", "secrets.example.yaml"}


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_no_right(role: str) -> None:
    spec = pod(role)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "QIANWAN_PORT and the like would be taken for settings"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for each in spec["containers"] + spec.get("initContainers", []):
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
    assert of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_the_time_that_its_drain_takes(
    role: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(role, monkeypatch, tmp_path)
    hook = container(role).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert hook or role == "im", "who is sent clients by others lets them notice first"
    needed = hook + settings.server.drain_timeout_s + CLOSES_S
    assert pod(role)["terminationGracePeriodSeconds"] > needed
    assert settings.server.drain_spread_s < settings.server.drain_timeout_s


@pytest.mark.parametrize("role", ROLES)
def test_the_settings_of_a_pod_are_settings_and_name_no_replica(
    role: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(role, monkeypatch, tmp_path)
    assert settings.etcd.endpoints
    assert not settings.server.node_id, "from etcd"
    assert bool(settings.auth.keys_secret) == (role != "im"), "who needs no keys has not what seals them"
    assert bool(settings.outgoing.secret) == (role != "gateway"), "who calls nobody has no secrets of others"
    assert container(role)["args"] == ["serve", "--role", role, "--config", "/etc/qianwan/qianwan.toml"]
    ports = {each["name"]: each["containerPort"] for each in container(role)["ports"]}
    listens = {"http": settings.control.http}
    if role == "gateway":
        listens["clients"] = settings.gateway.listen
    if role == "control":
        listens["lbs"] = settings.control.lbs.http
        assert settings.control.admin.startswith("127.0.0.1:"), "the admin API is reached by port-forward"
    assert ports == {name: int(address.rpartition(":")[2]) for name, address in listens.items()}


@pytest.mark.parametrize("role", ROLES)
def test_the_probes_ask_what_each_is_for(role: str) -> None:
    probes = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in probes.items():
        assert container(role)[probe]["httpGet"] == {"path": path, "port": "http"}


@pytest.mark.parametrize("role", ROLES)
def test_of_each_role_one_is_away_at_a_time(role: str) -> None:
    labels = WORKLOADS[role]["spec"]["template"]["metadata"]["labels"]
    assert WORKLOADS[role]["spec"]["replicas"] >= 2
    assert WORKLOADS[role]["spec"]["selector"]["matchLabels"] == labels
    (budget,) = (each for each in of("PodDisruptionBudget") if each["metadata"]["name"] == role)
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}


def test_the_network_lets_in_what_is_served_and_no_more() -> None:
    def opened(role: str) -> set[int]:
        labels = WORKLOADS[role]["spec"]["template"]["metadata"]["labels"]
        return {
            port["port"]
            for policy in of("NetworkPolicy")
            if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
            for rule in policy["spec"].get("ingress", [])
            for port in rule["ports"]
        }

    for role in ROLES:
        assert opened(role) == {each["containerPort"] for each in container(role)["ports"]}
    for policy in of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            api = any(port["port"] == 7800 for port in rule["ports"])
            assert not api or rule["from"], "the API, health and metrics are not for everybody"


def test_volumes_secrets_and_services_belong_together() -> None:
    secrets = {each["metadata"]["name"] for each in of("Secret")}
    maps = {each["metadata"]["name"] for each in of("ConfigMap")}
    for role in ROLES:
        claims = WORKLOADS[role]["spec"].get("volumeClaimTemplates", [])
        volumes = {each["name"]: each for each in pod(role)["volumes"] + [c["metadata"] for c in claims]}
        for each in pod(role)["containers"] + pod(role).get("initContainers", []):
            assert {mount["name"] for mount in each["volumeMounts"]} <= set(volumes)
            assert {source["secretRef"]["name"] for source in each.get("envFrom", [])} <= secrets
        for volume in volumes.values():
            assert volume.get("configMap", {}).get("name", "qianwan") in maps
    for service in of("Service"):
        role = service["spec"]["selector"]["app.kubernetes.io/component"]
        ports = {each["name"] for each in container(role)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    (rule,) = of("Ingress")[0]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["name"]) == ("/v1/lbs", "control")
