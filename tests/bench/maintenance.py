"""Procedures that change hosts: their time with nothing to do, and against the bare commands of the same work."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.run_record import records
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import DATA, ReportStore

from tests.bench.contestants import CHECKS, ROOT, SOCKETS
from tests.bench.measure import Command, in_lab, median_seconds, seconds
from tests.interruptions import matrix
from tests.lab import deployment
from tests.lab import hosts as lab_hosts
from tests.lab import images as lab_images
from tests.lab.commands import remove
from tests.lab.state import Lab

IDLE = Lab("bench-idle")
BUSY = Lab("bench-busy")
IDLE_HOSTS = 20
PROCEDURES = (
    "maintenance/routine_maintenance",
    "maintenance/security_updates",
    "maintenance/dependency_updates",
    "maintenance/configuration_changes",
)
#: What the hosts lack where they are alone - proxy, database, time server - and the machine may: access to advisories.
ALONE = {
    "health_check_baseline": {},
    "dependency_updates_advisory_url": "http://127.0.0.1:9/v1/query",
    "dependency_updates_unaudited": "no advisories in a bench",
}
#: Host → what an operator would type there for the work that the procedure's scenario arranges, host after host.
Bare = Mapping[str, str]
#: Where a host restarts, it is awaited before the next command.
REBOOT = "systemctl reboot"
#: Where commands run that need no host.
CONTROLLER = "controller"
UPDATE = """
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y install --only-upgrade {packages} > /dev/null
    systemctl restart ssh {services}"""
POSTGRESQL = "openssl libssl3 libpq5 postgresql-15 postgresql-client-15"
RESOLVE = """
    uv pip compile --quiet --no-config --generate-hashes --only-binary=:all: --python-version=3.11 \
        --no-python-downloads tests/platform/evidence_api/requirements.in --output-file $SCRATCH/requirements.lock
    python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version=3.11 \
        --implementation=cp --require-hashes --dest $SCRATCH/wheels --requirement $SCRATCH/requirements.lock"""
RELEASE = """
    cd /opt/evidence-api
    mkdir releases/next
    cp -r current/. releases/next
    rm -r releases/next/venv
    python3 -m venv releases/next/venv
    releases/next/venv/bin/pip --quiet --disable-pip-version-check install --no-index --require-hashes \
        --find-links releases/next/wheels --requirement releases/next/requirements.lock
    ln -sfn releases/next .next
    mv -T .next current
    systemctl restart evidence-api
    timeout 30 sh -c 'until bash -c "exec 3<>/dev/tcp/localhost/8000" 2> /dev/null; do sleep 0.2; done'"""
CONFIGURE_APPLICATION = """
    mkdir -p /etc/systemd/system/evidence-api.service.d /etc/evidence-api/partner
    echo 'partner = bench' > /etc/evidence-api/partner/access.conf
    printf '[Service]\\nLimitNOFILE=8192\\n' > /etc/systemd/system/evidence-api.service.d/limits.conf
    systemctl daemon-reload
    systemctl restart evidence-api
    timeout 30 sh -c 'until bash -c "exec 3<>/dev/tcp/localhost/8000" 2> /dev/null; do sleep 0.2; done'"""
CONFIGURE_DATABASE = """
    echo 'log_lock_waits = on' > /etc/postgresql/15/main/conf.d/logging.conf
    systemctl reload postgresql"""
BARE: Mapping[str, Bare] = {
    "routine_maintenance": {
        "proxy1": """
            journalctl --vacuum-time=400d
            find /var/log/nginx -name '*.log[.-]*' -mtime +400 -delete
            systemctl restart nginx""",
        "app1": """
            find /tmp /var/tmp -xdev -type f -mtime +10 -delete
            rm -r /opt/evidence-api/releases/0.[345].0
            ls /opt/evidence-api/releases""",
        "app2": """
            apt-get -q -y autoremove
            apt-get clean
            systemctl restart evidence-api chrony""",
        "db1": """
            runuser -u postgres -- vacuumdb --analyze evidence
            systemctl restart postgresql""",
        "db2": REBOOT,
    },
    "security_updates": {
        "proxy1": UPDATE.format(packages="openssl libssl3 nginx nginx-common nginx-light", services="nginx"),
        "app1": UPDATE.format(packages="openssl libssl3", services="evidence-api"),
        "app2": UPDATE.format(packages="openssl libssl3", services="evidence-api"),
        "db2": UPDATE.format(packages=POSTGRESQL, services="postgresql"),
        "db1": UPDATE.format(packages=POSTGRESQL, services="postgresql"),
    },
    "dependency_updates": {CONTROLLER: RESOLVE, "app1": RELEASE, "app2": RELEASE},
    "configuration_changes": {
        "proxy1": "echo 'server_tokens off;' > /etc/nginx/conf.d/limits.conf; nginx -t -q; systemctl reload nginx",
        "app1": CONFIGURE_APPLICATION,
        "app2": CONFIGURE_APPLICATION,
        "db2": CONFIGURE_DATABASE,
        "db1": CONFIGURE_DATABASE,
    },
}


def row(*cells: str) -> None:
    """Print one line of a table."""
    print(f"  {cells[0]:<34}" + "".join(f"{cell:>14}" for cell in cells[1:]), flush=True)


# Nothing to do


@contextmanager
def idle_lab() -> Iterator[dict[str, int]]:
    """Twenty hosts with the application, all alike; host → port."""
    suite = lab_images.release()
    image = lab_images.golden_images(suite)["app1"]
    remove(IDLE)
    try:
        ports = lab_hosts.start(IDLE, {f"h{number:02}": image for number in range(1, IDLE_HOSTS + 1)})
        deployment.adopt(IDLE, lab_images.golden_secrets(suite), suite)
        yield ports
    finally:
        remove(IDLE)


def idle_inventory(ports: Mapping[str, int], folder: Path) -> Path:
    """The lab's inventory with those hosts as application servers, no other host, and no checks but the bench's."""
    left_out = shutil.ignore_patterns("hosts.yml", "connection.py", "health_checks.yml", "__pycache__")
    shutil.copytree(ROOT / "inventories/lab", folder, ignore=left_out)
    connection = {
        "ansible_host": "127.0.0.1",
        "ansible_ssh_private_key_file": str(IDLE.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={IDLE.known_hosts}",
        "lab_folder": str(IDLE.folder),
    }
    hosts = {name: {**connection, "ansible_port": port} for name, port in ports.items()}
    groups = {"proxy": {}, "app": {"hosts": hosts}, "database": {}}
    (folder / "hosts.json").write_text(json.dumps({"platform": {"children": groups}}), encoding="utf-8")
    return folder


def playbook(name: str, inventory: Sequence[Path], state: Path, *options: str) -> Command:
    """A procedure as an operator starts it."""
    words = [word for path in inventory for word in ("-i", str(path))]
    argv = ["ansible-playbook", f"playbooks/{name}.yml", *words, *options]
    environment = {"RUNBOOK_STATE_DIR": str(state), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(SOCKETS)}
    return Command(name, argv, environment, ROOT)


def bench_idle(runs: int, scratch: Path, between: Callable[[], None]) -> None:
    """Procedures that find nothing to do on twenty hosts, against the sweep of the same hosts."""
    scratch.mkdir()
    with idle_lab() as ports:
        inventory = (idle_inventory(ports, scratch / "inventory"),)
        checks = json.dumps({"health_checks": CHECKS, "health_check_baseline": {}})
        sweep = playbook("monitoring_procedures/health_checks", inventory, scratch / "sweep", "-e", checks)
        print(f"\nNothing to do on {IDLE_HOSTS} hosts, no connection open beforehand (aim: at most 3 sweeps)")
        row("", "seconds", "sweep", "ratio")
        for name in PROCEDURES:
            state = scratch / name.rpartition("/")[2]
            command = playbook(name, inventory, state, "-e", json.dumps(ALONE))
            seconds(command)  # what there is to do on fresh hosts
            ours, theirs = median_seconds([command, sweep], runs, between)
            left = f", {changes} changes" if (changes := last_changes(state)) else ""
            row(f"{name}.yml", f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.1f}{left}")


def last_changes(state: Path) -> int:
    """How much the newest run of that state directory changed."""
    return len(list(records(Ledger(state / "ledger")).values())[-1]["changes"])


# Work


def bench_busy(scratch: Path) -> None:
    """Procedures with the work that their scenarios arrange, against the sum of the bare commands."""
    scratch.mkdir()
    print("\nWork on the platform's hosts against the bare commands, host after host (aim: at most 1.5 times)")
    row("", "procedure", "commands", "ratio")
    with in_lab(BUSY):
        for name, bare in BARE.items():
            case = work(name)
            case.prepare()
            ours = seconds(playbook(case.name, case.inventories, scratch / name, *case.options))
            case.assert_converged()
            back = release_back(case, scratch / "back") if name == "dependency_updates" else ""
            case.prepare()
            theirs = sum(bare_seconds(host, script, scratch) for host, script in bare.items())
            row(f"{case.name}.yml", f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
            if back:
                row("  to the release before, a host", back, "aim < 1 s")


def release_back(case: matrix.Case, state: Path) -> str:
    """How long each host took from its release to the one before, until that answered."""
    procedure = f"{case.name}_rollback"
    seconds(playbook(procedure, case.inventories, state))
    report = ReportStore(state).last(procedure)
    assert report
    findings = json.loads((report.path / DATA).read_text(encoding="utf-8"))["findings"]
    taken = [finding["metrics"]["switch_seconds"] for finding in findings if "switch_seconds" in finding["metrics"]]
    return " ".join(f"{one:.2f} s" for one in taken)


def work(name: str) -> matrix.Case:
    """What a procedure's scenario arranges to be interrupted, but on the whole platform."""
    path = ROOT / "molecule" / name / "tests/interruption.py"
    module = matrix.load(path)
    case = matrix.from_scenario(matrix.procedure_of(path), module)
    if name == "security_updates":
        return replace(case, options=(), arrange=module.make_pending, assert_converged=module.assert_installed)
    return case


def bare_seconds(host: str, script: str, scratch: Path) -> float:
    """The time of a script on a host, with the log-in, and with the host's return where it restarts."""
    if host == CONTROLLER:
        return seconds(Command(host, ["bash", "-euc", script], {"SCRATCH": str(scratch)}, ROOT))
    state = BUSY.read()
    assert state
    port = state.hosts[host].port
    start = time.perf_counter()
    command = lab_hosts.ssh_command(BUSY, port, "sudo", "bash", "-eu")
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if REBOOT in script:
        time.sleep(1)  # it answers for a moment longer
        lab_hosts.eventually(lambda: lab_hosts.answers(BUSY, host, port), f"{host} after its reboot")
    elif result.returncode:
        raise RuntimeError(f"{host}: {script}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return time.perf_counter() - start
