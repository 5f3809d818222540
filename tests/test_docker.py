"""The files of docker/, read by the programs that know their formats; no container runs here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
MANIFEST = DOCKER / "k8s/daskcluster.yaml"
COMPOSE_FILES = [(), ("s3",), ("tls",), ("s3", "tls")]
PYTHONS = ["3.11", "3.12", "3.13"]


def run(program, *arguments):
    """Run a program of the tests' environment."""
    command = [Path(sys.executable).with_name(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def assert_passes(done):
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def compose(names, *arguments):
    files = [DOCKER / "compose.yaml", *(DOCKER / f"compose.{name}.yaml" for name in names)]
    options = [option for file in files for option in ("--file", str(file))]
    return run("docker-compose", *options, "--profile", "*", "config", *arguments)


@pytest.fixture(scope="module", params=COMPOSE_FILES, ids=lambda names: "+".join(names) or "plain")
def services(request):
    """The services that compose makes of its files, variables filled in."""
    done = compose(request.param)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.s3"])
def test_dockerfiles_are_as_hadolint_wants_them(name):
    assert_passes(run("hadolint", str(DOCKER / name)))


def test_scripts_are_as_shellcheck_wants_them():
    for path in (*DOCKER.glob("*.sh"), ROOT / ".ci/run"):
        assert_passes(run("shellcheck", str(path)))


@pytest.mark.parametrize("names", COMPOSE_FILES)
def test_compose_takes_its_files(names):
    assert_passes(compose(names, "--quiet"))


def test_compose_would_not_take_anything(tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("cap_drop", "cap_dorp"))
    done = run("docker-compose", "--file", str(wrong), "config", "--quiet")
    assert done.returncode != 0
    assert "cap_dorp" in done.stderr


def test_services_have_no_more_rights_than_they_need(services):
    assert {"scheduler", "worker", "client", "notebook"} <= set(services)
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["mem_limit"]) >= 1 << 30
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1"


def test_only_what_keeps_running_is_restarted_and_asked_for_its_health(services):
    lasting = {name for name in services if "healthcheck" in services[name]}
    assert lasting == set(services) - {"client"}
    restarted = {name for name in services if services[name].get("restart") == "unless-stopped"}
    assert restarted == lasting - {"notebook"}


def spoken_options(subcommand):
    """The options that `dask scheduler` or `dask worker` know, by their own help."""
    done = run("dask", subcommand, "--help")
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z-]+", done.stdout))


@pytest.fixture(scope="module")
def known_options():
    return {name: spoken_options(name) for name in ("scheduler", "worker")}


def manifests():
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}


def test_dask_knows_every_option_of_its_commands(services, known_options):
    commands = [services["scheduler"]["command"], services["worker"]["command"]]
    spec = manifests()["DaskCluster"]["spec"]
    commands += [spec[role]["spec"]["containers"][0]["args"] for role in ("scheduler", "worker")]
    for program, subcommand, *arguments in commands:
        assert program == "dask"
        given = {one.split("=")[0] for one in arguments if one.startswith("--")}
        assert given <= known_options[subcommand]


def test_the_manifest_follows_the_operator_s_schema():
    """As far as it goes: it says nothing of names that it does not know."""
    import jsonschema

    package = Path(find_spec("dask_kubernetes").origin).parent
    definition = next(package.rglob("crds/daskcluster.yaml"))
    [version] = yaml.safe_load(definition.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    cluster = manifests()["DaskCluster"]
    assert cluster["apiVersion"] == f"kubernetes.dask.org/{version['name']}"
    jsonschema.validate(cluster, schema)
    cluster["spec"]["worker"]["replicas"] = "four"
    with pytest.raises(jsonschema.ValidationError, match="four"):
        jsonschema.validate(cluster, schema)


def test_the_manifest_s_pods_have_no_more_rights_than_they_need():
    found = manifests()
    for role in ("scheduler", "worker"):
        pod = found["DaskCluster"]["spec"][role]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        [claim] = [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
        name = claim["persistentVolumeClaim"]["claimName"]
        assert name == found["PersistentVolumeClaim"]["metadata"]["name"]


def leaves(settings, path=()):
    """Every setting of a nested mapping, with the names that lead to it."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def test_dask_knows_every_setting_of_ours():
    defaults = {}
    for package in ("dask", "distributed"):
        path = Path(find_spec(package).origin).with_name(f"{package}.yaml")
        defaults |= yaml.safe_load(path.read_text())
    known = dict(leaves(defaults))
    for path, _ in leaves(yaml.safe_load((DOCKER / "dask.yaml").read_text())):
        assert path in known


def test_dask_takes_our_time_outs():
    """It refuses some only when it connects: here a cluster of this process does."""
    program = (
        "from distributed import Client; import dask\n"
        "with Client(n_workers=1, processes=False, protocol='tcp', dashboard_address=None) as c:\n"
        "    print(c.submit(sum, [1, 2]).result(), c.cluster.scheduler.worker_ttl)\n"
    )
    environment = os.environ | {"DASK_CONFIG": str(DOCKER / "dask.yaml")}
    environment |= {"DASK_TEMPORARY_DIRECTORY": os.environ.get("TMPDIR", "/tmp")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "3 12\n", done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_are_versions_of_what_the_image_installs(python):
    lines = (DOCKER / f"constraints-{python}.txt").read_text().splitlines()
    pinned = {}
    for line in lines:
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line).groups()
        pinned[canonical(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r'"\.\[([a-z0-9,]+)\]"', (DOCKER / "Dockerfile").read_text())
    wanted = list(project["dependencies"])
    for extra in extras.split(","):
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonical(requirement.name)])


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_there_are_constraints_for_every_python_of_ours():
    classifiers = (ROOT / "pyproject.toml").read_text()
    ours = re.findall(r"Programming Language :: Python :: (3\.\d+)", classifiers)
    assert ours == PYTHONS


def test_the_image_s_name_tells_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for path in (DOCKER / "compose.yaml", MANIFEST):
        assert f"bigquant:{project['version']}-py3.13" in path.read_text()


def test_certificates_are_signed_and_for_their_owner_only(tmp_path):
    folder = tmp_path / "certificates"
    script = str(DOCKER / "make-certificates.sh")
    subprocess.run([script, str(folder)], check=True, capture_output=True)
    roles = ("scheduler", "worker", "client")
    found = {path.name for path in folder.iterdir()}
    assert found == {"ca.pem", *(f"{role}.{kind}" for role in roles for kind in ("key", "pem"))}
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    for role in roles:
        command = ["openssl", "verify", "-CAfile", folder / "ca.pem", folder / f"{role}.pem"]
        subprocess.run(command, check=True, capture_output=True)
    again = subprocess.run([script, str(folder)], capture_output=True, text=True)
    assert again.returncode != 0
    assert "exists" in again.stderr
