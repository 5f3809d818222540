"""At scale: memory stays flat while the image grows."""

import json
import subprocess
import sys
from pathlib import Path

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
