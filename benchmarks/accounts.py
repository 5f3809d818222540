"""What every process of a cluster had done before a fit and after it -> what the fit took."""

from __future__ import annotations

from typing import Any

from .report import Row

Account = dict[str, Any]


def scheduler_facts(before: Account, after: Account) -> Row:
    """Tell what the scheduler had to do: its seconds are those of all its threads."""
    tasks = _more(before, after, "scheduler", "tasks")
    transitions = _more(before, after, "scheduler", "transitions")
    seconds = _more(before, after, "scheduler", "cpu")
    return {
        "tasks": tasks,
        "transitions each": transitions / tasks,
        "scheduler s": seconds,
        "ms per task": seconds / tasks * 1e3,
        "scheduler peak MB": after["scheduler"]["peak"] / 1e6,
    }


def wire_facts(before: Account, after: Account) -> Row:
    """Tell what went over sockets, by who spoke to whom, both ways.

    A worker speaks to the scheduler and to other workers, the client to the scheduler alone.
    """
    from_client = _more(before, after, "client", "sent")
    to_client = _more(before, after, "client", "received")
    from_workers = _more(before, after, "scheduler", "received") - from_client
    to_workers = _more(before, after, "scheduler", "sent") - to_client
    sent = _workers(after, "sent") - _workers(before, "sent")
    return {
        "client sends kB": from_client / 1e3,
        "client gets kB": to_client / 1e3,
        "scheduler, workers MB": (from_workers + to_workers) / 1e6,
        "among workers MB": max(0, sent - from_workers) / 1e6,
        "fetches": after["fetched"] - before["fetched"],
    }


def block_facts(before: Account, after: Account) -> Row:
    """Tell how long workers were at a block, in either pass."""
    return {
        "block counted ms": _milliseconds(before, after, "count-block"),
        "block written ms": _milliseconds(before, after, "write-block"),
    }


def _milliseconds(before: Account, after: Account, prefix: str) -> float:
    n_before, spent_before = before["scheduler"]["computing"].get(prefix, (0, 0.0))
    n_after, spent_after = after["scheduler"]["computing"][prefix]
    return float((spent_after - spent_before) / (n_after - n_before) * 1e3)


def _more(before: Account, after: Account, process: str, what: str) -> float:
    more: float = after[process][what] - before[process][what]
    return more


def _workers(account: Account, what: str) -> float:
    return float(sum(worker[what] for worker in account["workers"]))
