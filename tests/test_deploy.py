"""The files in deploy/ hold: commands parse, versions are ours, probes need no key, nothing runs as root."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from whylabel.cli.serve import command as serve
from whylabel.serving.gate import OPEN
from whylabel.version import __version__

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICE = COMPOSE["services"]["whylabel"]
OBJECTS: dict[str, Any] = {
    one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
USER = "10001"


def instruction(name: str) -> str:
    """Return the last instruction of a name in the Dockerfile, its lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.+)$", joined, re.MULTILINE)[-1].strip()


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "whylabel.service", encoding="utf-8")
    return parser


def commands() -> dict[str, list[str]]:
    executable, *words = shlex.split(unit()["Service"]["ExecStart"])
    assert Path(executable).name == "whylabel"
    assert json.loads(instruction("ENTRYPOINT")) == ["whylabel"]
    return {
        "Dockerfile": json.loads(instruction("CMD")),
        "compose": SERVICE["command"],
        "systemd": words,
        "kubernetes": POD["containers"][0]["args"],
    }


@pytest.mark.parametrize("place", ["Dockerfile", "compose", "systemd", "kubernetes"])
def test_commands_are_those_of_the_command_line(place: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    verb, *words = commands()[place]
    assert verb == "serve"
    given = [str(keys) if word in ("/run/secrets/keys", "%d/keys") else word for word in words]
    found = serve.make_context("serve", given).params
    assert found["port"] == 8000
    # Others may reach it only with a key.
    assert (found["host"] == "127.0.0.1") == (place == "systemd")


def test_versions_and_files_are_ours() -> None:
    tag = f"whylabel:{__version__}"
    assert SERVICE["image"] == POD["containers"][0]["image"] == tag
    assert f"--tag {tag} " in DOCKERFILE
    assert (DEPLOY / SERVICE["build"]["context"] / SERVICE["build"]["dockerfile"]).is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, forced = (
        settings["project"],
        settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"],
    )
    extras = re.search(r"'\.\[([\w,]+)\]'", DOCKERFILE)
    assert extras is not None and set(extras[1].split(",")) <= set(project["optional-dependencies"])
    copied = " ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)).split()
    assert set(forced) <= set(copied)
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in copied:
        assert (ROOT / name).exists() and f"!{name}" in sent


def test_nothing_runs_as_root_or_writes_outside_its_volumes() -> None:
    assert instruction("USER") == USER and f"--uid {USER}" in DOCKERFILE
    container = POD["containers"][0]
    assert str(POD["securityContext"]["runAsUser"]) == USER and POD["securityContext"]["runAsNonRoot"]
    assert SERVICE["read_only"] and container["securityContext"]["readOnlyRootFilesystem"]
    written = {"/cache", "/tmp"}
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert {path for path, read_only in mounts.items() if not read_only} == written
    volumes = [volume.split(":") for volume in SERVICE["volumes"]]
    assert {parts[1] for parts in volumes if parts[2:] != ["ro"]} | set(SERVICE["tmpfs"]) == written
    settings = unit()["Service"]
    assert settings["DynamicUser"] == "yes" and settings["ProtectSystem"] == "strict"


def test_probes_ask_for_what_needs_no_key() -> None:
    container = POD["containers"][0]
    paths = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")]
    asked = re.search(r"http://127\.0\.0\.1:8000(/\w+)", instruction("HEALTHCHECK"))
    assert asked is not None
    assert paths == ["/readyz", "/readyz", "/healthz"] and {*paths, asked[1]} <= set(OPEN)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_its_file(tmp_path: Path) -> None:
    whole = f"pid {tmp_path}/pid; events {{}} http {{ include {DEPLOY}/nginx.conf; }}"
    (tmp_path / "nginx.conf").write_text(whole)
    checked = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", "error_log stderr;"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_its_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "whylabel.service").read_text(encoding="utf-8")
    # Whether whylabel is installed there is not the unit's matter.
    (tmp_path / "whylabel.service").write_text(text.replace("/opt/whylabel/bin/whylabel", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "whylabel.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in checked.stderr.splitlines() if "whylabel.service" in line]
    assert checked.returncode == 0 and not said, checked.stderr
