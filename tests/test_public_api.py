"""The public names, and how quickly they are there."""

import subprocess
import sys

import pytest

import bigquant


def test_every_public_name_is_there_and_documented():
    for name in bigquant.__all__:
        assert getattr(bigquant, name).__doc__, name
    assert set(bigquant.__all__) <= set(dir(bigquant))


def test_all_and_the_homes_name_the_same():
    assert sorted(bigquant._HOMES) == sorted(bigquant.__all__) == bigquant.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        bigquant.quantise  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert bigquant.__version__ == version("bigquant")


def modules_after(code):
    script = f"{code}\nimport sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(output.stdout.split())


def test_import_alone_loads_nothing_heavy():
    assert not modules_after("import bigquant") & {"numpy", "dask", "zarr", "numba", "click"}


def test_opening_an_image_never_loads_dask_ml():
    loaded = modules_after("import bigquant.pipeline, bigquant.write, bigquant.inspection")
    assert not loaded & {"dask_ml", "sklearn", "distributed"}
