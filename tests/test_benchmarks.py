"""The benchmark runs through: on tiny images, whose figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_section_gives_a_table_and_figures(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--scale", "0.002", "--json", "figures.json"]
    done = subprocess.run(
        [*command, "--folder", "."],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["machine"]["cores"] >= 1
    for title in ("In memory", "File to file", "At scale", "Start-up"):
        assert f"## {title}" in done.stdout
    for row in figures["in-memory"]:
        assert row["seconds"] > 0
        assert row["MSE"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
