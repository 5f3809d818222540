"""Every workflow from start to end, with the package as it is installed, outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tifffile
from nbclient import NotebookClient

import bigquant

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "workflows").glob("*.ipynb"))

pytestmark = pytest.mark.slow

#: Run at the end of the notebook of this name, in its own process.
CHECKS = {
    "01_color_compression": """
assert abs(one.palette.centers[0] - df[["r", "g", "b"]].mean()).max() < 1e-6
theirs = model.cluster_centers_[np.argsort(-np.bincount(model.labels_))]
assert abs(three.palette.centers - theirs).max() < 0.5
titles = [axes.get_title() for axes in plot.grid(sweep).axes]
assert titles == [f"k={k}" for k in range(2, 11)]
assert set(df["color"]) == {"rgb({}, {}, {})".format(*c) for c in three.palette.colors.tolist()}
""",
    "03_satellite_geotiff": "assert result.palette.first_label == 1",
    "05_choose_k": "assert result.palette.psnr >= 30 and sweep.knee",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment whose bigquant is a wheel, and the workflows, all outside the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    shutil.copytree(ROOT / "workflows", folder / "workflows")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PYTHONPATH": str(folder / "site"), "PATH": path}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, installed, tmp_path):
    folder, environment = installed
    text = path.read_text().replace("MEGAPIXELS = 100", "MEGAPIXELS = 30")
    notebook = nbformat.reads(text, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear its outputs"
    check = f"import bigquant; print(bigquant.__file__)\n{CHECKS.get(path.stem, '')}"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute(env=environment)
    assert str(folder / "site") in done.cells[-1].outputs[0].text
    assert not list(tmp_path.iterdir())
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    assert "Warning" not in json.dumps(outputs)
    assert "bigquant: error" not in json.dumps(outputs)
    clouds = [output.get("data", {}).get("application/vnd.plotly.v1+json") for output in outputs]
    for cloud in filter(None, clouds):
        assert len(cloud["data"][0]["marker"]["color"]) <= bigquant.plot.MOST_POINTS


def test_the_snakemake_workflow_runs(installed):
    folder, environment = installed
    place = folder / "workflows" / "snakemake" / ".test"
    for name in ("china", "flower"):
        command = ["bigquant", "sample", f"images/{name}.tif", "--image", name, "-q"]
        subprocess.run(command, cwd=place, env=environment, check=True)
    command = ["snakemake", "--cores", "2", "--snakefile", "../workflow/Snakefile"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    palette = bigquant.Palette.load(place / "results" / "palette.json")
    assert (palette.k, "#ffffff" in palette.hex) == (6, True)
    for name in ("china", "flower"):
        image = bigquant.open_image(place / f"images/{name}.tif")
        expected = palette.apply(image).labels.compute()
        np.testing.assert_array_equal(tifffile.imread(place / f"results/{name}.tif"), expected)


def test_workflows_import_public_names_only():
    for path in (ROOT / "workflows").rglob("*"):
        if path.suffix in (".ipynb", ".py", ".smk") or path.name == "Snakefile":
            text = path.read_text()
            assert "bigquant._" not in text
            for line in text.splitlines():
                if "from bigquant import" in line:
                    assert line.strip(' ",\\n') == "from bigquant import plot"
                assert "from bigquant." not in line
