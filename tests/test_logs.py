"""What people see of logs and warnings: nothing raw, and more of it with -v and -vv."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from PIL import Image as pillow

from bigquant import read
from bigquant.cli import main
from bigquant.logs import shown_logs


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    pillow.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def noisy(monkeypatch):
    """Libraries that warn and log while an image is opened, as tifffile does."""
    opened = read.open_flat

    def open_noisily(*arguments):
        warnings.warn("a library's warning", UserWarning, stacklevel=2)
        logging.getLogger("tifffile").error("a library's error")
        logging.getLogger("distributed.core").info("a library's news")
        return opened(*arguments)

    monkeypatch.setattr(read, "open_flat", open_noisily)


@pytest.mark.filterwarnings("default")  # as for users; this session makes errors of them
@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        ([], "", "a library's"),
        (["-v"], "a library's error, a library's warning, counting, writing", "news, level 0"),
        (["-vv"], "a library's error, a library's news, counting, level 0: 50 x 40", "Traceback"),
    ],
)
def test_each_v_shows_more(options, shown, hidden, photo, noisy, capfd):
    assert main(["fit", str(photo), "-k", "2", "-o", str(photo.parent / "o.tif"), *options]) == 0
    err = capfd.readouterr().err
    for words in filter(None, shown.split(", ")):
        assert words in err
    for words in hidden.split(", "):
        assert words not in err
    assert (err == "") == (not options)


def test_logging_is_left_as_it_was(capfd):
    root, own = logging.getLogger(), logging.getLogger("bigquant")
    before = root.level, list(root.handlers), own.level, warnings.showwarning
    with shown_logs(2):
        own.debug("a detail\nof two lines")
    assert capfd.readouterr().err.endswith("bigquant: a detail of two lines\n")
    assert (root.level, list(root.handlers), own.level, warnings.showwarning) == before
    own.debug("nobody sees this")
    assert capfd.readouterr() == ("", "")


def test_the_library_alone_shows_nothing(photo, capfd):
    import bigquant

    bigquant.quantize(bigquant.open_image(photo), 2).to_tiff(photo.parent / "o.tif")
    assert capfd.readouterr() == ("", "")
