"""deploy/kubernetes is valid for Kubernetes, and matches this repository."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import known_variables, load_settings
from streams.faust_app import CLOSE_GRACE_S, STOP_GRACE_S
from tests.house.commands import unknown_words
from tests.house.repository import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = [FOLDER / name for name in KUSTOMIZATION["resources"]]
OBJECTS: list[dict[str, Any]] = [
    found for path in MANIFESTS for found in yaml.safe_load_all(path.read_text())
]
PODS: dict[str, dict[str, Any]] = {
    found["metadata"]["name"]: found["spec"]["template"]["spec"]
    for found in OBJECTS
    if "template" in found.get("spec", {})
}

every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Validate one file against the schemas of Kubernetes, without the network."""
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told() -> dict[str, str]:
    """The settings of all pods."""
    lines = (FOLDER / "settings.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    checked = validate(path)

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_a_misspelled_key_does_not_fit(tmp_path: Path) -> None:
    text = (FOLDER / "worker.yaml").read_text()
    misspelled = tmp_path / "worker.yaml"
    misspelled.write_text(text.replace("readinessProbe:", "readynessProbe:"))

    assert 0 != validate(misspelled).returncode


def test_every_manifest_is_named() -> None:
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert there == set(KUSTOMIZATION["resources"])


def test_the_settings_can_be_used() -> None:
    environment = told()
    settings = load_settings(environment)

    assert set(environment) <= known_variables()
    # Prometheus and the kubelet come from outside.
    assert "0.0.0.0" == settings.web_host


@every_pod
def test_a_pod_runs_a_command_that_there_is(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]

    assert [] == unknown_words(container["command"])
    assert {"configMapRef": {"name": "keepstream-settings"}} in container["envFrom"]


@every_pod
def test_a_pod_gets_no_settings_that_nobody_gave(pod: dict[str, Any]) -> None:
    """Kubernetes makes variables of Services; those named keepstream-… would look like settings,
    and a program with an unknown setting refuses to start.
    """
    assert pod["enableServiceLinks"] is False
    [container] = pod["containers"]
    names = {entry["name"] for entry in container.get("env", [])}
    assert names <= known_variables()


@every_pod
def test_a_pod_may_do_nothing_that_it_need_not(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    confined = container["securityContext"]

    assert (10001, True) == (
        pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"],
    )  # fmt: skip
    assert confined["readOnlyRootFilesystem"]
    assert not confined["allowPrivilegeEscalation"]
    assert ["ALL"] == confined["capabilities"]["drop"]
    assert not pod["automountServiceAccountToken"]
    assert "memory" in container["resources"]["limits"]


def test_a_worker_comes_back_under_its_own_name() -> None:
    [worker] = [found for found in OBJECTS if found["kind"] == "StatefulSet"]
    [container] = worker["spec"]["template"]["spec"]["containers"]
    named = {entry["name"]: entry for entry in container["env"]}
    field = named["KEEPSTREAM_GROUP_INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert "metadata.name" == field
    # The address is of the Service that gives pods their names.
    url = named["KEEPSTREAM_WEB_ADVERTISED_URL"]["value"]
    assert f"$(KEEPSTREAM_GROUP_INSTANCE_ID).{worker['spec']['serviceName']}:" in url
    [service] = [
        found for found in OBJECTS
        if (found["kind"], found["metadata"]["name"]) == ("Service", worker["spec"]["serviceName"])
    ]  # fmt: skip
    assert "None" == service["spec"]["clusterIP"]
    assert worker["spec"]["template"]["metadata"]["labels"] == service["spec"]["selector"]


def test_a_job_that_has_ended_is_not_in_the_way_of_new_settings() -> None:
    """A Job can't be changed, and the name of its settings contains a hash of them."""
    jobs = [found for found in OBJECTS if found["kind"] == "Job"]

    assert jobs
    assert [] == [job for job in jobs if "ttlSecondsAfterFinished" not in job["spec"]]


def test_a_worker_has_time_to_end_in_order_and_no_more_copies_than_partitions() -> None:
    [worker] = [found for found in OBJECTS if found["kind"] == "StatefulSet"]
    grace_s = PODS["keepstream-worker"]["terminationGracePeriodSeconds"]

    assert STOP_GRACE_S + CLOSE_GRACE_S < grace_s
    assert worker["spec"]["replicas"] <= int(told()["KEEPSTREAM_PARTITIONS"])


@every_pod
def test_a_broker_that_is_away_restarts_nobody(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    if "livenessProbe" not in container:
        assert "OnFailure" == pod["restartPolicy"]
        return
    assert "/health/live" == container["livenessProbe"]["httpGet"]["path"]
    assert "/health/ready" == container["readinessProbe"]["httpGet"]["path"]
