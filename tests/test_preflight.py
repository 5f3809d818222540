"""Whether a cluster can do a job: what is told of one that can, and of one that cannot."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import tifffile
from distributed import Client, LocalCluster

import bigquant
from bigquant import examination, preflight, probes
from bigquant.cli import main

OPTIONS = {"processes": False, "dashboard_address": None, "threads_per_worker": 1}
OPTIONS |= {"scheduler_kwargs": {"dashboard_address": ":0"}}
CHECKS = ("memory", "answers", "versions", "inputs", "outputs", "scratch", "links")


@pytest.fixture
def photo(china, tmp_path):
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, china, tile=(128, 128), photometric="rgb")
    return path


@pytest.fixture
def on_workers(monkeypatch):
    """Put a function in the place of another, where it is called by a worker."""

    def replace(module, name, other):
        ours = getattr(module, name)

        def either(*arguments):
            is_worker = threading.current_thread().name.startswith("asyncio")
            return (other if is_worker else ours)(*arguments)

        monkeypatch.setattr(module, name, either)

    return replace


def test_a_cluster_that_can_do_it(client, photo, tmp_path):
    found = bigquant.doctor([photo], [tmp_path / "out.zarr", tmp_path / "out.tif"])
    assert (found.workers, found.threads, found.failures) == (2, 2, ())
    assert found.passed == CHECKS
    assert found.address == client.scheduler.address
    assert [path.name for path in tmp_path.iterdir()] == ["photo.tif"]


def test_a_zarr_is_known_by_its_metadata(client, china, tmp_path):
    bigquant.quantize(china, 4).to_zarr(tmp_path / "in.zarr")
    assert preflight._document(str(tmp_path / "in.zarr"), {}) == str(tmp_path / "in.zarr/zarr.json")
    assert bigquant.doctor([tmp_path / "in.zarr"]).failures == ()


def test_without_a_cluster_there_is_nothing_to_look_at(monkeypatch, capfd):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(bigquant.InputError, match="no cluster to look at"):
        bigquant.doctor()
    assert main(["doctor"]) == 2
    assert "give --scheduler ADDRESS, or --workers N" in capfd.readouterr().err


def test_the_command_tells_in_words_and_in_json(cluster, photo, tmp_path, capfd):
    words = ["doctor", "--scheduler", cluster.scheduler_address, str(photo)]
    assert main([*words, "-o", str(tmp_path / "out.zarr")]) == 0
    out, err = capfd.readouterr()
    assert "workers      2, 2 threads in all\n" in out
    assert "found right  memory, answers, versions, inputs, outputs, scratch, links\n" in out
    assert err == ""
    assert main([*words, "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["workers"], facts["failures"]) == (2, [])


def test_a_scheduler_file_names_the_scheduler(cluster, tmp_path, capfd):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    assert main(["doctor", "--scheduler-file", str(file)]) == 0
    capfd.readouterr()
    file.write_text("{}")
    assert main(["doctor", "--scheduler-file", str(file)]) == 2
    assert "is no scheduler file: it names no address" in capfd.readouterr().err
    assert main(["doctor", "--scheduler-file", str(tmp_path / "none")]) == 2
    assert "the scheduler file cannot be read" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "2", "--scheduler", "tcp://h:1"], "--workers and --scheduler exclude each"),
        (["--scheduler-file", "f", "--scheduler", "tcp://h:1"], "--scheduler-file exclude each"),
        (["--memory-limit", "1GB"], "are for a local cluster: add --workers N"),
        (["--workers", "1", "--memory-limit", "much"], "'much' is no size such as 4GB"),
        (["--workers", "1", "--memory-limit", "0"], "'0' is no size such as 4GB"),
    ],
)
def test_options_that_contradict_each_other(words, message, photo, capfd, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert main(["fit", str(photo), *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1


# ---------------------------------------------------------------- what can be wrong


def test_a_memory_limit_is_known_before_anything_runs(photo, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(examination, "ask_workers", None)  # nobody is asked
    with LocalCluster(n_workers=2, memory_limit="256MB", **OPTIONS) as small:
        words = ["fit", str(photo), "-o", str(tmp_path / "out.zarr")]
        assert main([*words, "--scheduler", small.scheduler_address]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    assert "(and 1 more) may use 244.14 MiB of memory, and needs " in err
    assert "--memory-limit " in err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.tif"]


def test_threads_of_a_worker_share_its_memory():
    options = OPTIONS | {"threads_per_worker": 32}
    with LocalCluster(n_workers=1, memory_limit="2GB", **options) as many, Client(many) as client:
        assert bigquant.doctor().failures == ()
        one = examination.Examination(client, 100 << 20)
        one.check_memory()
    assert one.failures[0].endswith("MB or more, or with fewer threads")


def test_a_cluster_without_workers(capfd):
    with LocalCluster(n_workers=0, **OPTIONS) as empty:
        assert main(["doctor", "--scheduler", empty.scheduler_address]) == 2
        assert f"the cluster at {empty.scheduler_address} has no workers" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"python": "3.99.1.final.0"}, "has Python 3.99, and this client 3."),
        ({"bigquant": None}, "has no bigquant, and this client 0.1.0: use one environment"),
        ({"numba": "0.1"}, "has numba 0.1, and this client "),
    ],
)
def test_other_versions(theirs, message, client, monkeypatch):
    ours = examination.get_versions(packages=examination._PACKAGES)
    others = {"packages": ours["packages"] | theirs}

    def answer(_, workers, *__, **___):
        return dict.fromkeys(workers, others)

    monkeypatch.setattr(examination, "ask_workers", answer)
    one = examination.Examination(client, 0)
    one.check_versions()
    (failure,) = one.failures
    assert failure.startswith("worker ")
    assert "(and 1 more) " + message in failure


def test_a_minor_version_of_python_is_the_same_environment():
    packages = dict.fromkeys(examination._PACKAGES, "1")
    ours, theirs = {"python": "3.11.2.final.0"}, {"python": "3.11.9.final.0"}
    assert examination._compare_versions(packages | ours, packages | theirs) is None


def test_an_input_that_workers_do_not_see(client, photo, on_workers):
    on_workers(probes, "open_input", lambda *_: "No such file or directory")
    (failure,) = bigquant.doctor([photo]).failures
    assert f"(and 1 more) cannot open {photo} (No such file or directory): every worker" in failure


def test_an_input_that_is_another_on_workers(client, photo, on_workers):
    def copied(path, _):
        return bigquant.fingerprint.Fingerprint(Path(path).stat().st_size, 1)

    on_workers(probes, "open_input", copied)
    (failure,) = bigquant.doctor([photo]).failures
    assert f"sees another file as {photo} ({photo.stat().st_size} bytes, here " in failure


@pytest.mark.parametrize("which", ["find_marks", "leave_mark"])
def test_a_folder_that_workers_do_not_share(which, client, tmp_path, on_workers):
    """They see nothing of the client's, or the client nothing of theirs."""
    on_workers(probes, which, lambda *_: set())
    (failure,) = bigquant.doctor([], [tmp_path / "out.tif"]).failures
    words = {
        "find_marks": "does not see what this client",
        "leave_mark": "what this client does not",
    }
    assert words[which] in failure
    assert f"{tmp_path}: choose a folder that all workers share" in failure
    assert not list(tmp_path.iterdir())


def test_a_folder_that_workers_may_not_write(client, tmp_path, on_workers):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    on_workers(probes, "leave_mark", refuse)
    (failure,) = bigquant.doctor([], [tmp_path / "out.tif"]).failures
    assert "cannot write there (Read-only file system)" in failure


def test_a_folder_that_this_client_cannot_write(client, tmp_path):
    (tmp_path / "file").write_text("no folder")
    (failure,) = bigquant.doctor([], [tmp_path / "file/out.tif"]).failures
    assert failure == f"{tmp_path}/file: this client cannot write there: Not a directory"


def test_an_output_that_is_a_folder_is_looked_at_itself(client, tmp_path):
    assert preflight._folder(str(tmp_path)) == str(tmp_path)
    assert preflight._folder(str(tmp_path / "out.zarr")) == str(tmp_path)
    assert preflight._folder("s3://bucket/folder/") == "s3://bucket/folder"
    assert preflight._folder("s3://bucket/out.zarr") == "s3://bucket"


def test_of_many_inputs_some_are_looked_at(client, photo, on_workers):
    seen = []
    on_workers(probes, "open_input", lambda path, _: seen.append(path) or "no")
    bigquant.doctor([photo] * 100)
    assert len(seen) == 2 * 25


def test_scratch_space_that_cannot_be_written(client, on_workers):
    on_workers(probes, "_try_scratch", lambda _: "No space left on device")
    (failure,) = bigquant.doctor().failures
    assert "(and 1 more) cannot write its scratch folder (No space left on device)" in failure


def test_workers_that_cannot_reach_each_other(client, monkeypatch):
    async def refuse(*_, **__):
        raise OSError("Connection refused")

    monkeypatch.setattr("distributed.comm.connect", refuse)
    failures = bigquant.doctor().failures
    assert len(failures) == 2
    assert all("cannot connect to worker inproc://" in failure for failure in failures)
    assert all("(Connection refused): open the ports" in failure for failure in failures)


def test_a_worker_that_does_not_answer(client, monkeypatch):
    for name in ("_SECONDS", "_LEAST_SECONDS"):
        monkeypatch.setattr(examination, name, 0.2)
    monkeypatch.setattr(examination.platform, "node", _sleepy)
    (failure,) = bigquant.doctor().failures
    assert "(and 1 more) does not answer in time: see its log, or end it" in failure


async def _sleepy():
    import asyncio

    await asyncio.sleep(2)


def test_behind_a_url_marks_are_left_and_removed(client, s3_options, china):
    import s3fs

    found = bigquant.doctor([], ["s3://pictures/x.zarr"], storage_options=s3_options)
    assert (found.failures, found.passed) == ((), CHECKS)
    names = s3fs.S3FileSystem(**s3_options, skip_instance_cache=True).find("pictures")
    assert not [name for name in names if "probe" in name]
    readers = s3_options | {"key": "reader"}
    (failure,) = bigquant.doctor([], ["s3://pictures/x.zarr"], storage_options=readers).failures
    assert "access is denied" in failure


def test_fit_tells_all_that_is_wrong(cluster, photo, tmp_path, capfd, on_workers):
    on_workers(probes, "open_input", lambda *_: "No such file or directory")
    on_workers(probes, "find_marks", lambda *_: set())
    words = ["fit", str(photo), "-o", str(tmp_path / "out.zarr")]
    assert main([*words, "--scheduler", cluster.scheduler_address]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("bigquant: error: worker inproc://") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.tif"]
