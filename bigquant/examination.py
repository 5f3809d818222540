"""The steps by which a cluster is looked at, and how what they find is told."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dask.utils import format_bytes
from distributed.versions import get_versions

from bigquant import probes, remote
from bigquant.asking import ask_scheduler, ask_workers
from bigquant.fingerprint import Fingerprint

#: Of what results, and whether a worker starts a task at all, depend on.
_PACKAGES = ("bigquant", "dask", "distributed", "numpy", "numba")
#: That all questions may take together; that is left for the last of them in any case, which is
#: more than workers give a connection.
_SECONDS, _LEAST_SECONDS = 12, 5
_JOIN_SECONDS = 3
#: Lines of one check; more would say the same of more workers.
_SHOWN = 5
#: What a worker holds before it does anything, with all that tasks import.
_WORKER_BYTES = 240 << 20
#: Share of its memory limit at which a worker stops taking tasks, unless Dask is told otherwise.
_PAUSED_AT = 0.8


@dataclass(frozen=True)
class CheckUp:
    """What was found out about a cluster.

    Parameters
    ----------
    address : str
        Of the scheduler.
    workers, threads : int
    passed : tuple of str
        What was checked and found right: "memory", "versions", "inputs" and so on.
    failures : tuple of str
        What is wrong, a line each, which names the worker and what to do.
    """

    address: str
    workers: int
    threads: int
    passed: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Number of workers, and of threads of all of them."""
        return self.workers, self.threads


class Examination:
    """The steps, and what they have found so far."""

    def __init__(self, client: Any, needed: int) -> None:
        self.client = client
        self.needed = needed
        self.give_up = time.monotonic() + _SECONDS
        self.address = str(client.scheduler.address)
        self.passed: list[str] = []
        self.failures: list[str] = []
        self.hosts: dict[str, str] = {}
        self.workers: Mapping[str, Any] = self._find_workers()

    def result(self) -> CheckUp:
        """Sum up what the steps that were taken have found."""
        threads = sum(worker["nthreads"] for worker in self.workers.values())
        return CheckUp(
            self.address, len(self.workers), threads, tuple(self.passed), tuple(self.failures)
        )

    def _find_workers(self) -> Mapping[str, Any]:
        with suppress(TimeoutError):  # those that are paused, say, are not waited for in vain
            self.client.wait_for_workers(1, timeout=_JOIN_SECONDS)
        found: Mapping[str, Any] = self.client.scheduler_info()["workers"]
        if not found:
            self.failures.append(
                f"the cluster at {self.address} has no workers: start some (dask worker "
                f"{self.address}), at least one of an adaptive cluster, and run again"
            )
        return found

    def check_memory(self) -> None:
        """Compare memory limits, which the scheduler knows, with what tasks need."""
        wrong = {}
        for address, worker in self.workers.items():
            limit, threads = worker["memory_limit"], worker["nthreads"]
            wanted = int((_WORKER_BYTES + threads * self.needed) / _PAUSED_AT)
            if limit and limit < wanted:
                wrong[address] = (
                    f"may use {format_bytes(limit)} of memory, and needs {format_bytes(wanted)} "
                    f"to run {threads} task{'s' * (threads > 1)} on such blocks: start it with "
                    f"--memory-limit {-(-wanted // 10**6)}MB or more"
                    + (", or with fewer threads" if threads > 1 else "")
                )
        self._note("memory", wrong)

    def find_hosts(self) -> None:
        """See who answers at all; what they are asked needs nothing but Python."""
        answers = self._ask(platform.node)
        self.hosts = {one: node for one, node in answers.items() if isinstance(node, str)}
        self._note("answers", self._silent(answers))

    def check_versions(self) -> None:
        """Compare versions: Dask itself only warns, and workers die of other Pythons' code."""
        ours = get_versions(packages=_PACKAGES)["packages"]
        answers = self._ask(get_versions, _PACKAGES)
        wrong = {
            address: difference
            for address, answer in answers.items()
            if isinstance(answer, dict)
            and (difference := _compare_versions(ours, answer["packages"]))
        }
        seconds = _LEAST_SECONDS
        scheduler = ask_scheduler(self.client, get_versions, _PACKAGES, seconds=seconds)
        if not isinstance(scheduler, dict):
            self.failures.append(f"the scheduler at {self.address} does not answer in time")
        elif difference := _compare_versions(ours, scheduler["packages"]):
            self.failures.append(f"the scheduler at {self.address} {difference}")
        self._note("versions", wrong | self._silent(answers))

    def ask(self, questions: probes.Questions) -> None:
        """Ask all that needs bigquant on the workers."""
        names = {address: f"worker-{number}" for number, address in enumerate(self.workers)}
        options, outputs = questions.options, questions.outputs
        try:
            for folder in outputs:
                probes.leave_mark(folder, questions.token, "client", options)
            answers = self._ask(probes.answer, questions, names)
            left = {each: probes.find_marks(each, questions.token, options) for each in outputs}
        except OSError as error:
            where = " ".join(map(remote.public, outputs))
            self.failures.append(f"{where}: this client cannot write there: {error.strerror}")
            return
        finally:
            for folder in outputs:
                probes.remove_marks(folder, questions.token, options)
        links = self._ask(probes.reach, list(self.workers))
        found = {one: each for one, each in answers.items() if isinstance(each, probes.Answers)}
        unseen = {
            one: [folder for folder in outputs if names[one] not in left[folder]] for one in found
        }
        self._note("inputs", _compare_inputs(questions, found) | self._silent(answers))
        self._note("outputs", _compare_outputs(found, unseen))
        self._note(
            "scratch", {one: _scratch(each.scratch) for one, each in found.items() if each.scratch}
        )
        self._note("links", self._compare_links(links) | self._silent(links))

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        seconds = max(_LEAST_SECONDS, self.give_up - time.monotonic())
        answers = ask_workers(self.client, self.workers, function, *arguments, seconds=seconds)
        if any(isinstance(answer, Exception) for answer in answers.values()):
            still = self.client.scheduler_info()["workers"]  # one may have left, as they do
            self.workers = {one: worker for one, worker in self.workers.items() if one in still}
        return {one: answers[one] for one in self.workers}

    def _silent(self, answers: Mapping[str, Any]) -> dict[str, str]:
        """Say of workers that failed to answer why, as far as that is known."""
        return {
            address: "does not answer in time: see its log, or end it"
            if isinstance(answer, TimeoutError)
            else f"cannot answer ({type(answer).__name__}: {answer}): see its log"
            for address, answer in answers.items()
            if isinstance(answer, Exception)
        }

    def _compare_links(self, links: Mapping[str, Any]) -> dict[str, str]:
        return {
            one: f"cannot connect to worker {other} on {self.hosts.get(other, 'its host')} "
            f"({why}): open the ports between workers (dask worker --worker-port)"
            for one, unreached in links.items()
            if isinstance(unreached, dict)
            for other, why in unreached.items()
        }

    def _note(self, check: str, wrong: Mapping[str, str]) -> None:
        """Note what a check found; workers of which the same is to be said share a line."""
        alike: dict[str, list[str]] = {}
        for address, text in wrong.items():
            alike.setdefault(text, []).append(address)
        for text, addresses in list(alike.items())[:_SHOWN]:
            first = addresses[0]
            host = self.hosts.get(first) or self.workers[first]["host"]
            others = f" (and {len(addresses) - 1} more)" if len(addresses) > 1 else ""
            self.failures.append(f"worker {first} on {host}{others} {text}")
        if len(alike) > _SHOWN:
            self.failures.append(f"{len(alike) - _SHOWN} more workers fail in {check}")
        if self.workers and not wrong:
            self.passed.append(check)


def _compare_versions(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Say what differs first; of Python only the minor version matters."""

    def minor(version: Any) -> str:
        return ".".join(str(version).split(".")[:2])

    pairs = [("Python", minor(ours["python"]), minor(theirs["python"]))]
    pairs += [(name, ours[name], theirs[name]) for name in _PACKAGES]
    for name, here, there in pairs:
        if here != there:
            has = f"has {name} {there}" if there else f"has no {name}"
            return f"{has}, and this client {here}: use one environment for all of them"
    return None


def _differs(path: str, ours: Fingerprint | str, theirs: Fingerprint | str) -> str:
    if isinstance(theirs, str):
        return (
            f"cannot open {path} ({theirs}): every worker must see the input under this path; "
            "mount it there, or name a URL such as s3://..."
        )
    here = f"{ours.size} bytes" if isinstance(ours, Fingerprint) else "nothing"
    return (
        f"sees another file as {path} ({theirs.size} bytes, here {here}, or of another time): "
        "let all see the same file"
    )


def _compare_inputs(
    questions: probes.Questions, found: Mapping[str, probes.Answers]
) -> dict[str, str]:
    options = questions.options
    with ThreadPoolExecutor(len(questions.inputs) or 1) as pool:  # each is some round trips
        ours = list(pool.map(lambda path: probes.open_input(path, options), questions.inputs))
    wrong = {}
    for path, here in zip(questions.inputs, ours, strict=True):
        for address, each in found.items():
            if each.inputs[path] != here and address not in wrong:
                wrong[address] = _differs(remote.public(path), here, each.inputs[path])
    return wrong


def _compare_outputs(
    found: Mapping[str, probes.Answers], unseen: Mapping[str, list[str]]
) -> dict[str, str]:
    wrong = {}
    for address, each in found.items():
        for folder in unseen[address]:
            why = each.outputs[folder] or "writes what this client does not see"
            wrong[address] = (
                f"{why}: {remote.public(folder)}: choose a folder that all workers share with "
                "this client, or a URL such as s3://..."
            )
    return wrong


def _scratch(why: str) -> str:
    return (  # workers have a folder of their own each
        f"cannot write its scratch folder ({why}): start it with --local-directory, "
        "and TMPDIR set, where it can"
    )
