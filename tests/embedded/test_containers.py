"""Dockerfile and docker-compose.yml: nothing runs with more rights, or in sight of more people, than it needs."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from pydantic import SecretStr

from cli import alive
from cli.embedded.binaries import valkey_binary
from service.config import Settings
from service.errors import Unavailable
from tests.embedded.processes import REPOSITORY, wait_until

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["api", "worker", "scheduler", "migrate"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
FINAL_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_services() -> None:
    assert sorted(SERVICES) == sorted(["postgres", "valkey", *OURS])
    assert {SERVICES[name]["image"] for name in OURS} == {SERVICES["api"]["image"]}


@each_service
def test_no_service_can_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    # Ours get their user from the image.
    assert name in OURS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


@each_service
def test_every_service_is_watched_or_waited_for(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name == "migrate":
        assert check == {"disable": True}
        assert SERVICES[name]["restart"] == "no"
        waiting = [other for other in OURS if other != "migrate"]
        conditions = {SERVICES[other]["depends_on"]["migrate"]["condition"] for other in waiting}
        assert conditions == {"service_completed_successfully"}
    else:
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert SERVICES[name]["restart"] == "unless-stopped"


@each_service
def test_no_secret_is_written_down_or_has_a_default(name: str) -> None:
    for setting, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|KEY|AUTH$", setting):
            assert re.fullmatch(r"\$\{(POSTGRES_PASSWORD|VALKEY_PASSWORD|API_KEY):\?[^}]+\}", value), setting
        elif setting in {"DATABASE_URL", "SERVICE_DATABASE_URL", "BROKER_URL"}:
            assert re.search(r":\$\{(POSTGRES|DATABASE|VALKEY)_PASSWORD:\?[^}]+\}@", value), setting


def test_only_the_migration_knows_the_databases_owner() -> None:
    owner = SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    for name in OURS:
        environment = SERVICES[name]["environment"]
        written = str(environment)
        assert ("POSTGRES_PASSWORD" in written) is (name == "migrate")
        assert (f"//{owner}:" in environment["DATABASE_URL"]) is (name == "migrate")
    assert SERVICES["migrate"]["environment"]["SERVICE_DATABASE_URL"] == SERVICES["api"]["environment"]["DATABASE_URL"]


def test_only_the_api_can_be_reached_and_only_from_this_machine() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["api"]["ports"])
    assert COMPOSE["networks"]["internal"] == {"internal": True}
    assert {tuple(SERVICES[name]["networks"]) for name in SERVICES if name != "api"} == {("internal",)}


def test_state_is_in_named_volumes_and_images_are_read_only() -> None:
    volumes = {name: SERVICES[name].get("volumes", []) for name in SERVICES}
    assert sorted(COMPOSE["volumes"]) == ["artifacts", "postgres", "valkey"]
    assert [volume.partition(":")[0] for volume in volumes["postgres"] + volumes["valkey"]] == ["postgres", "valkey"]
    assert volumes["worker"].pop() == {"type": "volume", "source": "artifacts", "target": "/artifacts"}
    assert SERVICES["worker"]["environment"]["ARTIFACTS_URL"] == "${ARTIFACTS_URL:-file:///artifacts}"
    for name in ("api", "worker", "scheduler"):
        assert [(mount["target"], mount["read_only"]) for mount in volumes[name]] == [("/data", True)]
        assert SERVICES[name]["environment"]["DATA_ROOTS"] == "/data"
    assert volumes["migrate"] == []


@each_service
def test_settings_are_settings(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert name not in OURS or set(SERVICES[name]["environment"]) <= known


def test_valkey_starts_by_its_command_with_its_password(tmp_path: Path) -> None:
    shell, flag, script = SERVICES["valkey"]["command"]
    script = script.replace("$$", "$").replace("valkey-server", shlex.quote(str(valkey_binary())))
    script = script.replace("--dir /data", f"--dir . --port 0 --unixsocket {tmp_path}/s")
    environment = {**os.environ, "VALKEY_PASSWORD": "open-sesame"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([shell, flag, script], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until((tmp_path / "s").exists)
        with redis.Redis(unix_socket_path=f"{tmp_path}/s", password="open-sesame", decode_responses=True) as client:  # noqa: S106
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with redis.Redis(unix_socket_path=f"{tmp_path}/s") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        server.terminate()
        assert server.wait() == 0
    finally:
        server.kill()
        server.wait()


def test_the_image_runs_as_nobody_in_particular_and_cannot_build() -> None:
    assert DOCKERFILE.count("\nFROM ") == 2
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", FINAL_STAGE, re.MULTILINE)
    assert "HEALTHCHECK" in FINAL_STAGE
    assert not re.search(r"apt-get|apk add|gcc|pip install|ADD |curl|wget", FINAL_STAGE)
    assert "pip uninstall" in FINAL_STAGE


def test_the_image_holds_every_package_and_nothing_else() -> None:
    found = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {pattern.removesuffix("*") for pattern in found["include"]}
    assert set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE)) == packages
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    documents = {"LICENSE", "NOTICE", "README.md", "pyproject.toml"}
    assert allowed == packages | documents | {"requirements.lock", "requirements-build.lock"}


def test_the_health_check_of_a_container(database_url: str, broker_url: str) -> None:
    missing = "redis+socket:///nonexistent/valkey.sock"
    nowhere = "postgresql+psycopg://nobody@/none?host=/nonexistent"
    alive.check_connections(Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url)))
    with pytest.raises(Unavailable, match="broker"):
        alive.check_connections(Settings(database_url=SecretStr(database_url), broker_url=SecretStr(missing)))
    with pytest.raises(Unavailable, match="database"):
        alive.check_connections(Settings(database_url=SecretStr(nowhere), broker_url=SecretStr(broker_url)))
    check = [sys.executable, "-m", "cli.alive", "http://127.0.0.1:1/health/ready"]
    done = subprocess.run(check, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "http://127.0.0.1:1/health/ready does not answer.\n")
