"""The floors of the house, and the size of its rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bigquant"
FILES = sorted([*PACKAGE.glob("*.py"), *Path(__file__).parent.glob("*.py")])
LINES, FUNCTION_LINES = 350, 60


def test_the_floors_hold():
    """In a process of its own: it turns off the loggers it finds."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_every_module_has_its_place_in_the_contract():
    contract = (PACKAGE.parent / "pyproject.toml").read_text()
    for path in PACKAGE.glob("*.py"):
        if path.stem != "__init__":
            assert f"bigquant.{path.stem}" in contract, path.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rooms_are_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = [n for n in node.body if not isinstance(getattr(n, "value", None), ast.Constant)]
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= FUNCTION_LINES, node.name
