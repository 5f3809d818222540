"""At scale: memory stays flat while the image grows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def peak_megabytes(*arguments):
    """Run the command line and tell its peak memory, and what it printed."""
    script = (
        "import sys; from bigquant.cli import main; code = main(sys.argv[1:]);"
        "lines = open('/proc/self/status').read().split();"  # not ru_maxrss: it starts at ours
        "print(lines[lines.index('VmHWM:') + 1], file=sys.stderr);"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stderr.split()[-1]) / 1024, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_a_thousand_megapixels_take_the_memory_of_four_hundred(tmp_path):
    peaks = []
    for megapixels in (400, 1000):
        path = str(tmp_path / "photo.tif")
        peak_megabytes("sample", path, "--megapixels", str(megapixels), "--overwrite")
        peak, printed = peak_megabytes("fit", path, "-k", "32", "--overwrite", "--json")
        facts = json.loads(printed)
        assert facts["width"] * facts["height"] == pytest.approx(megapixels * 1e6, rel=1e-3)
        print(f"{megapixels} megapixels: {peak:.0f} MB, {sum(facts['seconds'].values()):.1f} s")
        peaks.append(peak)
    assert max(peaks) < 1300
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_a_page_about_300_megapixels_takes_little_more_than_the_fit(tmp_path):
    source, output, page = (str(tmp_path / name) for name in ("p.tif", "out.tif", "page.html"))
    peak_megabytes("sample", source, "--megapixels", "300")
    fit, _ = peak_megabytes("fit", source, "-k", "32", "-o", output, "-q")
    for options in ([], ["--source", source]):  # what the fit has left, or both images read
        peak, _ = peak_megabytes("report", output, "-o", page, "--overwrite", *options)
        print(f"fit {fit:.0f} MB, report {peak:.0f} MB, page {Path(page).stat().st_size} bytes")
        assert peak < fit + 400
        assert Path(page).stat().st_size < 5e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read in /proc")
def test_a_table_of_twenty_million_rows_takes_the_memory_of_five(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(8)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    peaks = []
    for millions in (5, 20):
        path = str(tmp_path / "t.parquet")
        with pq.ParquetWriter(path, schema) as writer:
            for _ in range(millions):
                values = rng.normal(size=(1_000_000, 8)) + rng.integers(0, 8, (1_000_000, 1)) * 9
                columns = [pa.array(column, pa.float32()) for column in values.T]
                writer.write_table(pa.table(columns, schema=schema))
        peak, printed = peak_megabytes("fit", path, "-k", "8", "--overwrite", "--json")
        facts = json.loads(printed)
        assert sum(facts["counts"]) == facts["rows"] == millions * 1_000_000
        print(f"{millions} million rows: {peak:.0f} MB, {sum(facts['seconds'].values()):.1f} s")
        peaks.append(peak)
    assert max(peaks) < 1300
    assert peaks[1] < peaks[0] + 200  # 15 million rows are 480 MB
