"""Command line of the lab: ``python -m tests.lab up|down|images|status``."""

from __future__ import annotations

import argparse
import os
import sys

from tests.lab import authority, commands
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
        "certificate": "issue a server certificate, also an expired or a wrong one",
        "images": "build the images that are missing",
    }.items():
        sub = actions.add_parser(action, help=summary, description=summary)
        if action != "images":
            default = None if action == "status" else os.environ.get("LAB", "demo")
            sub.add_argument("--name", default=default, help="the lab (default: LAB from the environment, or demo)")
        if action == "certificate":
            sub.add_argument("dns_names", nargs="+", metavar="dns-name", help="the names it is for")
            sub.add_argument(
                "--begins", type=float, default=-1, metavar="DAYS", help="start of validity, days from now"
            )
            sub.add_argument("--ends", type=float, default=825, metavar="DAYS", help="end of validity, days from now")
            sub.add_argument("--client", action="store_true", help="it is to authenticate a client, too")
            sub.add_argument("--stem", required=True, help="file name in the lab's folder ca, without .pem and .key")
        if action == "up":
            sub.add_argument(
                "--from", dest="source", choices=["golden", "bare"], default=os.environ.get("LAB_SOURCE", "golden")
            )
            sub.add_argument("--fresh", action="store_true", help="replace hosts that are running, too")
            chosen = os.environ.get("LAB_HOSTS", "").split() or list(PLATFORM_HOSTS)
            known = "default: LAB_HOSTS from the environment, or the whole platform; host=bare is a host without it"
            sub.add_argument("hosts", nargs="*", default=chosen, metavar="host", help=known)
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
            case "certificate":
                authority.issue(
                    Lab(arguments.name).authority,
                    arguments.stem,
                    arguments.dns_names,
                    client=arguments.client,
                    begins_in_days=arguments.begins,
                    ends_in_days=arguments.ends,
                )
            case "images":
                commands.images(release())
    except (LabError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
