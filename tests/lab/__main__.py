"""Command line of the lab: ``python -m tests.lab up|down|images|status``."""

from __future__ import annotations

import argparse
import os
import sys

from tests.lab import commands
from tests.lab.images import PLATFORM_HOSTS, release
from tests.lab.podman import LabError
from tests.lab.state import Lab


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m tests.lab", description="The container lab.")
    actions = top.add_subparsers(dest="action", required=True)
    for action, summary in {
        "up": "start a lab, or what is missing of it",
        "down": "remove a lab",
        "status": "show the hosts of the labs",
        "images": "build the images that are missing",
    }.items():
        sub = actions.add_parser(action, help=summary, description=summary)
        if action != "images":
            default = None if action == "status" else os.environ.get("LAB", "demo")
            sub.add_argument("--name", default=default, help="the lab (default: LAB from the environment, or demo)")
        if action == "up":
            sub.add_argument(
                "--from", dest="source", choices=["golden", "bare"], default=os.environ.get("LAB_SOURCE", "golden")
            )
            sub.add_argument("--fresh", action="store_true", help="replace hosts that are running, too")
            sub.add_argument("hosts", nargs="*", default=list(PLATFORM_HOSTS), metavar="host")
    return top


def main() -> int:
    """Run one action; problems are one line on standard error."""
    arguments = parser().parse_args()
    try:
        match arguments.action:
            case "up":
                commands.up(Lab(arguments.name), release(), arguments.source, arguments.hosts, fresh=arguments.fresh)
            case "down":
                commands.down(Lab(arguments.name))
            case "status":
                commands.status(arguments.name)
            case "images":
                commands.images(release())
    except (LabError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
