"""Golden images: the platform deployed once by its own roles, and each host kept as an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import deployment
from tests.lab import hosts as lab_hosts
from tests.lab import images as lab_images
from tests.lab.podman import LabError, podman
from tests.lab.state import ROOT, Lab, locked

SITE = ROOT / "tests/platform/site.yml"
#: Every lab made from the images makes its own identity: see image/customize.sh. apt's cache of packages, which
#: `clean` removes too, would be made in each lab by each host's first question to apt.
FORGET_IDENTITY = """
systemctl stop evidence-api nginx 2>/dev/null
apt-get clean
apt-cache gencaches
rm -rf /etc/ssh/ssh_host_* /home/*/.ssh /home/*/.ansible /root/.ansible /var/log/journal/*
: >/etc/machine-id
"""


def ensure(suite: str) -> None:
    """Build the golden images where one is missing."""
    if complete(suite):
        return
    with ThreadPoolExecutor() as pool:  # the wheels arrive while Debian is unpacked
        archive = pool.submit(deployment.bundle, suite)
        lab_images.ensure_bare(suite)
        archive.result()
    with locked(f"image-golden-{suite}"):
        if not complete(suite):
            build(Lab(f"golden-{suite}"), suite)
            for host, name in lab_images.golden_images(suite).items():
                lab_images.prune(f"{lab_images.REPOSITORY}/{host}:{suite}-", keep={name})


def complete(suite: str) -> bool:
    """Whether all images and the secrets that belong to them are there."""
    images = set(lab_images.golden_images(suite).values())
    return images <= set(lab_images.image_ids()) and (lab_images.golden_secrets(suite) / "secrets.yml").exists()


def build(lab: Lab, suite: str) -> None:
    """Deploy the platform on bare hosts, stop them cleanly and commit each to an image."""
    from tests.lab.commands import remove  # noqa: PLC0415 - commands needs this module

    started = time.monotonic()
    print(f"Deploying the platform of the golden images of {suite}", flush=True)
    shutil.rmtree(lab_images.golden_secrets(suite), ignore_errors=True)  # incomplete, until all images belong together
    remove(lab)
    bare = dict.fromkeys(lab_images.golden_images(suite), lab_images.bare_image(suite))
    ids = lab_images.image_ids()
    ports = lab_hosts.start(lab, bare)
    deployment.prepare(lab, suite)
    lab.write(lab_hosts.recorded(lab, suite, "bare", ports, {host: ids[name] for host, name in bare.items()}))
    deploy(lab)
    lab_hosts.await_platform(lab, ports)
    deployed = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda item: commit(lab, *item), lab_images.golden_images(suite).items()))
    deployment.keep(lab, lab_images.golden_secrets(suite))
    remove(lab)
    print(
        f"Golden images of {suite} built: deployed in {deployed - started:.0f} s,"
        f" committed in {time.monotonic() - deployed:.0f} s",
        flush=True,
    )


def deploy(lab: Lab) -> None:
    """Run the platform's playbook; its output is kept, and shown when it fails."""
    log = lab.folder / "site.log"
    environment = {
        **os.environ,
        "LAB": lab.name,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",  # deploying the lab is no operation on record
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(SITE), "-i", str(ROOT / "inventories/lab")]
    with log.open("w") as output:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if result.returncode != 0:
        raise LabError(f"{SITE.relative_to(ROOT)} failed, see {log.relative_to(ROOT)}:\n{log.read_text()[-3000:]}")


def commit(lab: Lab, host: str, name: str) -> None:
    """Stop one host cleanly and make an image of it."""
    container = lab.container(host)
    podman("exec", container, "sh", "-c", FORGET_IDENTITY)
    podman("stop", "--time", "60", container)
    podman("commit", "--quiet", f"--change=LABEL {lab_images.LABEL}={ROOT}", container, name)
