"""What the command line does."""

from __future__ import annotations

import time

from tests.lab import deployment, golden
from tests.lab import hosts as lab_hosts
from tests.lab import images as lab_images
from tests.lab.podman import LabError, podman
from tests.lab.state import LABS, Lab, locked


def up(lab: Lab, release: str, source: str, hosts: list[str], *, fresh: bool) -> None:
    """Have exactly these hosts running, started from the source, and record where they are."""
    wanted = image_names(release, source, hosts)
    known = lab_images.golden_images(release)
    started = time.monotonic()
    with locked(lab.name):
        ids = lab_images.image_ids()
        image_of = {host: ids[name] for host, name in wanted.items()}
        state = lab.read()
        good = set() if fresh else lab_hosts.healthy(lab, state, image_of)
        if source == "golden" and good != set(wanted):
            good = set()  # the databases of one platform belong together
        lab_hosts.remove(lab, set(lab_hosts.containers(lab)) - good)
        ports = {host: state.hosts[host].port for host in good} if state else {}
        missing = {host: wanted[host] for host in wanted if host not in good}
        if missing:
            ports |= lab_hosts.start(lab, missing)
        if source == "golden":
            deployment.adopt(lab, lab_images.golden_secrets(release), release)
        else:
            deployment.prepare(lab, release)
        if source == "golden" and all(wanted.get(host) == known[host] for host in lab_images.SERVING_HOSTS):
            lab_hosts.await_platform(lab, ports)
        lab.write(lab_hosts.recorded(lab, release, source, ports, image_of))
    print(f"Lab {lab.name}: {len(ports)} hosts up, {len(missing)} of them new ({time.monotonic() - started:.1f} s)")


def image_names(release: str, source: str, hosts: list[str]) -> dict[str, str]:
    """Host → image; builds what is missing."""
    bare = [host.removesuffix("=bare") for host in hosts if source == "bare" or host.endswith("=bare")]
    images = dict.fromkeys(bare, lab_images.ensure_bare(release)) if bare else {}
    known = lab_images.golden_images(release)
    deployed = [host for host in hosts if host.removesuffix("=bare") not in images]
    if unknown := [host for host in deployed if host not in known]:
        raise LabError(f"no golden image for {', '.join(unknown)}: use --from bare, or {unknown[0]}=bare")
    if deployed:
        golden.ensure(release)
    return images | {host: known[host] for host in deployed}


def down(lab: Lab) -> None:
    """Remove everything that `up` made."""
    with locked(lab.name):
        remove(lab)
    print(f"Lab {lab.name} is gone")


def remove(lab: Lab) -> None:
    """Remove containers, network and folder."""
    lab_hosts.remove(lab, lab_hosts.containers(lab))
    podman("network", "rm", "--force", lab.network, check=False)
    lab.forget()


def images(release: str) -> None:
    """Build the images that are missing."""
    started = time.monotonic()
    golden.ensure(release)
    print(f"The images of {release} are there ({time.monotonic() - started:.1f} s)")


def status(name: str | None) -> None:
    """Print the hosts of one lab, or of all."""
    names = [name] if name else sorted(path.parent.name for path in LABS.glob("*/lab.json"))
    for lab in map(Lab, names):
        state, found = lab.read(), lab_hosts.containers(lab)
        if state is None:
            raise LabError(f"lab '{lab.name}' is not up: run `make lab`")
        for host, recorded in state.hosts.items():
            condition = found[host]["State"] if host in found else "gone"
            print(f"{lab.name:12} {host:10} {condition:10} 127.0.0.1:{recorded.port} ({state.release}, {state.source})")
