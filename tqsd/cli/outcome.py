"""How the verbs that deploy tell what came of it."""

from __future__ import annotations

from typing import Any

import click

from tqsd.cli.options import print_json


def show(answer: dict[str, Any], as_json: bool, nothing: str) -> int:
    """Print the deployments of an answer; returns the exit status."""
    if as_json:
        print_json(answer["deployments"])
    else:
        for record in answer["deployments"]:
            click.echo(summary(record), err=record["outcome"] == "failed")
        if not answer["deployments"]:
            click.echo(nothing)
    return 1 if answer["failed"] else 0


def summary(record: dict[str, Any]) -> str:
    """One deployment in a line, with the reason below it when it failed."""
    pages = ", ".join(record["pages"])
    if record["outcome"] == "failed":
        parts = (record["error"], record["output"], record["hint"] and f"-> {record['hint']}")
        return f"{pages}: {record['cause']} failed, nothing changed\n" + "\n".join(filter(None, parts))
    if record["outcome"] == "unchanged":
        return f"{pages}: nothing to do, the release serves already"
    stages = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in record["stages"].items() if ms >= 0.5)
    return f"{pages}: serving release {', '.join(record['releases'].values())} ({stages})"
