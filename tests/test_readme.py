"""The README's programs and commands run as they are written, in its order, on fewer pixels."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import LocalCluster

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("readme"), {}


@pytest.fixture(scope="module")
def address():
    """Of a cluster, which the README has on a host."""
    options = {"processes": False, "protocol": "tcp", "memory_limit": 0, "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, threads_per_worker=2, **options) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[code[:40] for _, code in BLOCKS])
def test_a_block_runs_as_written(workplace, address, language, code, monkeypatch):
    folder, names = workplace
    monkeypatch.chdir(folder)
    code = code.replace("--megapixels 100", "--megapixels 6")
    code = code.replace("tcp://host:8786", address)  # all else stands as it does there
    if language == "python":
        exec(code, names)  # noqa: S102
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = ["bash", "-euc", code]
    done = subprocess.run(script, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_what_the_blocks_promise_is_there(workplace):
    folder, names = workplace
    made = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert {"quantized.zarr", "huge.k32.zarr", "huge.k32.zarr.palette.json"} <= made
    assert {"huge.k8.tif", "labels.zarr", "workers.zarr", "quantized", "as-tiff"} <= made
    assert names["result"].palette.k == 5


def test_links_in_the_readme_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README.read_text()):
        name, _, heading = link.partition("#")
        assert (README.parent / name).exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", (README.parent / (name or README)).read_text(), re.M)
            words = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert heading in words, link
