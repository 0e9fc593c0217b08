"""The images that hosts start from: a bare Debian, and the deployed platform as one image a host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.lab.digest import digest, files_below
from tests.lab.hosts import ADMINISTRATORS
from tests.lab.podman import LabError, listing, podman
from tests.lab.state import CACHE, ROOT, locked

RELEASES = ("bookworm", "trixie")
#: The hosts that serve, without those that look after them.
SERVING_HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
PLATFORM_HOSTS = (*SERVING_HOSTS, "store1")
#: No part of the platform: an empty host with its programs, into which backups are restored.
SCRATCH_HOSTS = ("scratch1",)
#: What a freshly installed server has, and nothing that the platform's roles should install.
PACKAGES = (
    "ca-certificates,dbus,iproute2,openssh-server,openssl,python3,python3-apt,python3-venv,sudo,systemd,systemd-sysv"
)
CUSTOMIZE = ROOT / "tests/lab/image/customize.sh"
REPOSITORY = "localhost/runbook"
LABEL = "runbook.checkout"
#: What of the lab goes into the golden images besides roles: secrets, certificates, and how they are deployed and kept.
#: The other files only matter while a lab runs.
MAKERS = ("authority.py", "deployment.py", "golden.py")


def release() -> str:
    """The Debian release of the lab, from LAB_RELEASE."""
    name = os.environ.get("LAB_RELEASE", RELEASES[0])
    if name not in RELEASES:
        raise LabError(f"LAB_RELEASE={name}: the lab knows {' and '.join(RELEASES)}")
    return name


def bare_image(suite: str) -> str:
    """The name of the bare image, which changes with everything that it is made from."""
    return f"{REPOSITORY}/bare:{suite}-{digest(suite, PACKAGES, files=[CUSTOMIZE], root=ROOT)}"


def golden_digest(suite: str) -> str:
    """Stands for roles and inventory of the platform, what deploys it, the bare image and this checkout's secrets."""
    inventory = [ROOT / "inventories/lab/hosts.yml", *ROOT.glob("inventories/lab/group_vars/*/platform.yml")]
    makers = [ROOT / "tests/lab" / name for name in MAKERS]
    files = [*files_below(ROOT / "tests/platform"), *inventory, *makers]
    return digest(bare_image(suite), str(ROOT), str(ADMINISTRATORS), files=files, root=ROOT)


def golden_images(suite: str) -> dict[str, str]:
    """Host → name of the image with the platform deployed on it."""
    return {host: f"{REPOSITORY}/{host}:{suite}-{golden_digest(suite)}" for host in (*PLATFORM_HOSTS, *SCRATCH_HOSTS)}


def golden_secrets(suite: str) -> Path:
    """Where the keys and passwords that are baked into the golden images are kept."""
    return CACHE / "golden" / f"{suite}-{golden_digest(suite)}"


def image_ids() -> dict[str, str]:
    """Name → id of every image of the lab."""
    return {
        name: image["Id"]
        for image in listing("images", "--filter", f"reference={REPOSITORY}/*")
        for name in image.get("Names") or []
    }


def ensure_bare(suite: str) -> str:
    """Build the bare image where it is missing; return its name."""
    name = bare_image(suite)
    with locked(f"image-bare-{suite}"):
        if name not in image_ids():
            build_bare(suite, name)
            prune(f"{REPOSITORY}/bare:{suite}-", keep={name})
    return name


def build_bare(suite: str, name: str) -> None:
    """Unpack Debian with mmdebstrap and hand the result to podman."""
    print(f"Building the bare image of {suite}", flush=True)
    bootstrap = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={PACKAGES}",
        "--skip=cleanup/apt/lists",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=force-unsafe-io",
        f"--customize-hook={CUSTOMIZE.read_text(encoding='utf-8')}",
        suite,
        "-",
    ]
    try:
        unpacked = subprocess.Popen(bootstrap, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False)
    except FileNotFoundError:
        raise LabError("mmdebstrap is not installed: run `make setup`") from None
    assert unpacked.stdout is not None
    changes = ["STOPSIGNAL SIGRTMIN+3", 'CMD ["/sbin/init"]', f"LABEL {LABEL}={ROOT}"]
    options = [word for change in changes for word in ("--change", change)]
    draft = f"{name}-draft"
    podman("import", "--quiet", *options, "-", draft, stdin=unpacked.stdout.fileno())
    _, problems = unpacked.communicate()
    if unpacked.returncode != 0:
        podman("rmi", draft, check=False)
        raise LabError(f"mmdebstrap failed: {problems.decode(errors='replace').strip()[-2000:]}")
    podman("tag", draft, name)
    podman("untag", draft, draft)


def prune(prefix: str, keep: set[str]) -> None:
    """Remove older images of this checkout. One that a container still uses stays until the next time."""
    for image in listing("images", "--filter", f"label={LABEL}={ROOT}"):
        for name in image.get("Names") or []:
            if name.startswith(prefix) and name not in keep:
                podman("rmi", name, check=False)
    podman("image", "prune", "--force", "--filter", f"label={LABEL}={ROOT}", check=False)
