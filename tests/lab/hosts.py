"""Containers as hosts: start them, wait until they answer, remove them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from tests.lab.podman import LabError, listing, podman
from tests.lab.state import ROOT, Host, Lab, State, write_atomically

#: Mounts and sandboxed units, nftables, and chattr, as on a real host. The clock stays out of reach.
CAPABILITIES = "SYS_ADMIN,NET_ADMIN,NET_RAW,LINUX_IMMUTABLE"
#: Further names by which hosts of the platform are known on the lab's network.
ALIASES = {"proxy1": ["evidence.lab"]}
#: Last number of the address of each host that others remember by its address: a restart does not move it.
ADDRESSES = {
    name: 240 + number
    for number, name in enumerate(["scratch1", "proxy1", "app1", "app2", "db1", "db2", "store1", "watch1"])
}
#: Administrators of hosts that the platform's own administrator `ops` has no access to.
ADMINISTRATORS = {"store1": "storekeeper"}
LABEL = "runbook.lab"
START_TIMEOUT = 60.0
#: Podman chooses a free port and binds it a moment later.
PORT_ATTEMPTS = 5
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 1024


def raise_inotify_limit() -> None:
    """Each host uses six inotify instances; the kernel's default ends at twenty hosts."""
    if int(INOTIFY.read_text(encoding="ascii")) < INOTIFY_INSTANCES:
        with suppress(OSError):  # only root may; a small lab works without
            INOTIFY.write_text(str(INOTIFY_INSTANCES), encoding="ascii")


def containers(lab: Lab) -> dict[str, dict[str, Any]]:
    """Host → container as podman lists it, running or not."""
    found = listing("ps", "--all", "--filter", f"label={LABEL}={lab.name}")
    return {container["Labels"]["runbook.host"]: container for container in found}


def administrator(host: str) -> str:
    """The account that administers a host."""
    return ADMINISTRATORS.get(host, "ops")


def ssh_command(lab: Lab, port: int, *command: str, account: str = "ops") -> list[str]:
    """The command line that runs a command on the host behind a port."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(lab.known_hosts),
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    identity = ["-i", str(lab.key_of(account)), "-p", str(port)]
    return ["ssh", "-F", "none", *identity, *words, f"{account}@127.0.0.1", "--", *command]


def answers(lab: Lab, host: str, port: int) -> bool:
    """Whether the host lets its administrator in and gives it root."""
    command = ssh_command(lab, port, "sudo", "-n", "true", account=administrator(host))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def serves(lab: Lab, proxy_port: int) -> bool:
    """Whether evidence-api answers through the proxy and reaches its database."""
    command = ssh_command(lab, proxy_port, "curl", "-sSf", "-m", "5", "https://proxy1/readyz")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def replicates(lab: Lab, primary_port: int) -> bool:
    """Whether the standby streams from the primary."""
    query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    command = ssh_command(lab, primary_port, f'cd / && sudo -n -u postgres psql -XAtqc "{query}"')
    return subprocess.run(command, capture_output=True, check=False, text=True).stdout.strip() == "1"


def await_platform(lab: Lab, ports: Mapping[str, int]) -> None:
    """Wait until the platform is whole: it answers through the proxy, and its standby follows."""
    eventually(lambda: serves(lab, ports["proxy1"]), "an answer of evidence-api")
    eventually(lambda: replicates(lab, ports["db1"]), "replication from db1 to db2")


def eventually(condition: Callable[[], bool], what: str, seconds: float = START_TIMEOUT) -> None:
    """Wait until the condition holds, or raise LabError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.2)


def remove(lab: Lab, hosts: Iterable[str]) -> None:
    """Remove the containers of the hosts, if there are any."""
    names = [lab.container(host) for host in hosts]

    def removed() -> bool:
        try:
            podman("rm", "--force", "--time", "0", "--ignore", "--volumes", *names)
        except LabError as error:
            if "device or resource busy" not in str(error):
                raise
            return False  # a file system of a process that is being killed
        return True

    if names:
        eventually(removed, f"the removal of {', '.join(names)}")


def start(lab: Lab, images: dict[str, str]) -> dict[str, int]:
    """Start a container for every host and wait until SSH answers; return host → port."""
    raise_inotify_limit()
    remove(lab, images)
    if not listing("network", "ls", "--filter", f"name=^{lab.network}$"):
        podman("network", "create", "--label", f"{LABEL}={lab.name}", lab.network)
    subnet = listing("network", "inspect", lab.network)[0]["subnets"][0]["subnet"]
    keys_of = {account: lab.public_key(account) for account in ("ops", *map(administrator, images))}
    with ThreadPoolExecutor(max_workers=8) as pool:

        def begin(host: str) -> None:
            run(lab, host, images[host], keys_of, network_option(lab, host, subnet))

        list(pool.map(begin, images))
        running = containers(lab)
        ports = {host: published_port(running[host]) for host in images}
        keys = list(pool.map(lambda host: first_key(lab, host, ports, begin), images))
        others = lab.known_hosts.read_text(encoding="utf-8").splitlines() if lab.known_hosts.exists() else []
        mine = {f"[127.0.0.1]:{port}" for port in ports.values()}
        kept = [line for line in others if line.split(" ", 1)[0] not in mine]
        write_atomically(lab.known_hosts, "\n".join([*kept, *keys]) + "\n")
        list(pool.map(lambda host: await_ssh(lab, host, lambda: answers(lab, host, ports[host])), images))
    return ports


def first_key(lab: Lab, host: str, ports: dict[str, int], begin: Callable[[str], None]) -> str:
    """The host key of a host that was begun; where its SSH never answers, it is told, and begun once more.

    That happens to one of a thousand containers that start beside others. Its port is another one then.
    """
    try:
        return host_key(lab, host, ports[host])
    except LabError as error:
        sys.stderr.write(f"lab: {error}\nlab: starting {host} once more\n")
    remove(lab, [host])
    begin(host)
    ports[host] = published_port(containers(lab)[host])
    return host_key(lab, host, ports[host])


def await_ssh(lab: Lab, host: str, condition: Callable[[], bool]) -> None:
    """Wait until the condition on a host's SSH holds, or raise LabError that says what its start waits for."""
    try:
        eventually(condition, f"SSH of {host}")
    except LabError as error:
        told = [
            f"{words}:\n{podman('exec', lab.container(host), *words.split(), check=False)}"
            for words in ("systemctl list-jobs", "systemctl list-units --failed --plain", "ss -Htln", "ip -br address")
        ]
        raise LabError("\n".join([str(error), *told])) from None


def network_option(lab: Lab, host: str, subnet: str) -> str:
    """The host's place in the lab's network: its names, and its address if it has a fixed one."""
    names = "".join(f",alias={name}" for name in ALIASES.get(host, []))
    address = f",ip={ip_network(subnet)[ADDRESSES[host]]}" if host in ADDRESSES else ""
    return f"--network={lab.network}:alias={host}{names}{address}"


def run(lab: Lab, host: str, image: str, keys: Mapping[str, str], network: str) -> None:
    """Start one container, with another port where somebody took the chosen one meanwhile."""
    for remaining in reversed(range(PORT_ATTEMPTS)):
        try:
            run_once(lab, host, image, keys, network)
        except LabError as error:
            if "address already in use" not in str(error) or not remaining:
                raise
            remove(lab, [host])
        else:
            return


def run_once(lab: Lab, host: str, image: str, keys: Mapping[str, str], network: str) -> None:
    """Start one container on a port that podman finds free."""
    podman(
        "run",
        "--detach",
        f"--name={lab.container(host)}",
        f"--hostname={host}",
        network,
        "--publish=127.0.0.1::22",
        "--systemd=always",
        "--restart=always",  # a host that reboots comes back
        f"--cap-add={CAPABILITIES}",
        "--security-opt=apparmor=unconfined",
        "--security-opt=label=disable",
        f"--env=LAB_ADMINISTRATOR={administrator(host)}",
        f"--env=LAB_CLIENT_KEY={keys[administrator(host)]}",
        f"--label={LABEL}={lab.name}",
        f"--label=runbook.host={host}",
        f"--label=runbook.checkout={ROOT}",
        "--stop-timeout=60",
        image,
    )


def published_port(container: dict[str, Any]) -> int:
    """The loopback port that leads to the container's SSH."""
    return int(container["Ports"][0]["host_port"])


def host_key(lab: Lab, host: str, port: int) -> str:
    """The host key's known_hosts line, as soon as the SSH server gives it."""
    lines: list[str] = []

    def scanned() -> bool:
        scan = subprocess.run(
            ["ssh-keyscan", "-T", "5", "-t", "ed25519", "-p", str(port), "127.0.0.1"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines[:] = [line for line in scan.stdout.splitlines() if line and not line.startswith("#")]
        return bool(lines)

    await_ssh(lab, host, scanned)
    return lines[0]


def healthy(lab: Lab, state: State | None, ids: dict[str, str]) -> set[str]:
    """Hosts that run from the wanted image and answer at the recorded port."""
    if state is None or not lab.key.exists():
        return set()
    found = containers(lab)

    def usable(host: str) -> bool:
        container, recorded = found.get(host), state.hosts.get(host)
        return (
            container is not None
            and recorded is not None
            and container["State"] == "running"
            and container["ImageID"] == ids[host]
            and published_port(container) == recorded.port
            and answers(lab, host, recorded.port)
        )

    with ThreadPoolExecutor(max_workers=8) as pool:
        return {host for host, good in zip(ids, pool.map(usable, ids), strict=True) if good}


def recorded(lab: Lab, release: str, source: str, ports: dict[str, int], ids: dict[str, str]) -> State:
    """The state to write for running hosts."""
    hosts = {host: Host(ports[host], ids[host], administrator(host)) for host in sorted(ports)}
    return State(name=lab.name, release=release, source=source, hosts=hosts)
