"""What the sweep is compared with: the same probe by raw ssh, pyinfra, and one Ansible task a check."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.ops.runbook.plugins.plugin_utils.checks_program import program
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import merge_layers, resolve_all

from tests.bench.measure import Command

ROOT = Path(__file__).resolve().parents[2]
PARALLEL = 20
#: Shared ssh connections of all contestants. A short path: a socket's may have 107 characters.
SOCKETS = Path("/tmp/runbook-bench")
#: The same for all: pyinfra's ssh knows none of the post-quantum ones that OpenSSH prefers, each of which costs both
#: ends some 20 ms of CPU.
KEY_EXCHANGE = "-o KexAlgorithms=curve25519-sha256"

#: Twenty checks as an operator would type them; peers that have no probe run them one by one.
COMMANDS = (
    "df /",
    "df -i /",
    "grep MemAvailable /proc/meminfo",
    "grep SwapFree /proc/meminfo",
    "cat /proc/loadavg",
    "cat /proc/uptime",
    "systemctl --failed --no-legend",
    "systemctl is-active ssh",
    "systemctl is-active dbus",
    "pgrep -c sshd",
    "ps -eo stat",
    "cat /proc/vmstat",
    "test ! -e /run/reboot-required",
    "journalctl -q -p err --since -1h",
    "getent hosts localhost",
    "bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'",
    "stat /etc/passwd",
    "stat /var/lib/dpkg/status",
    "test -d /run/systemd/system",
    "hostname",
)

#: The same twenty subjects as checks of the probe.
CHECKS = {
    "root filesystem": {"disk": "/", "warning": "99%", "critical": "99.9%"},
    "root inodes": {"inodes": "/", "warning": "99%", "critical": "99.9%"},
    "memory": {"memory": True, "warning": "99%", "critical": "99.9%"},
    "swap": {"swap": True, "warning": "99%", "critical": "99.9%"},
    "load": {"load": True, "warning": 1000, "critical": 2000},
    "pressure": {"pressure": "io", "warning": "99%", "critical": "99.9%"},
    "failed units": {"failed_units": True},
    "ssh unit": {"unit": "ssh"},
    "dbus unit": {"unit": "dbus"},
    "sshd processes": {"process": "sshd"},
    "zombies": {"zombies": True, "warning": 1000, "critical": 2000},
    "out of memory": {"oom_kills": True, "warning": 1000000, "critical": 2000000},
    "reboot": {"reboot_required": True},
    "journal": {"journal_errors": True, "warning": 1000000, "critical": 2000000},
    "name service": {"dns": "localhost"},
    "ssh port": {"tcp": "127.0.0.1:22"},
    "accounts": {"file": "/etc/passwd"},
    "packages": {"file": "/var/lib/dpkg/status"},
    "runtime": {"file": "/run/systemd/system"},
    "host name": {"plugin": ["hostname"]},
}


def _inventory(hosts: dict[str, int], lab: Path) -> dict[str, object]:
    connection = {
        "ansible_host": "127.0.0.1",
        "ansible_user": "ops",
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(lab / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab / 'known_hosts'} {KEY_EXCHANGE}",
        "health_check_baseline": {},
        "health_checks": CHECKS,
    }
    return {
        "platform": {"hosts": {name: {"ansible_port": port} for name, port in hosts.items()}, "vars": connection},
    }


def _environment(scratch: Path) -> dict[str, str]:
    """What Ansible's contestants are started with."""
    return {"RUNBOOK_STATE_DIR": str(scratch / "state"), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(SOCKETS)}


def probe_program(scratch: Path) -> Path:
    """The program that the sweep sends to each host, for those who send it in another way."""
    merged, contradictions = merge_layers([("bench", CHECKS)])
    checks, errors = resolve_all(merged)
    if contradictions or errors:
        raise ValueError("\n".join(contradictions + errors))
    path = scratch / "probe.py"
    path.write_text(program(checks, 30), encoding="utf-8")
    return path


def sweep(hosts: dict[str, int], lab: Path, scratch: Path) -> Command:
    """The real procedure, with its report and its run record."""
    inventory = scratch / "sweep.json"
    inventory.write_text(json.dumps(_inventory(hosts, lab)), encoding="utf-8")
    argv = ["ansible-playbook", "-i", str(inventory), "playbooks/monitoring_procedures/health_checks.yml"]
    return Command("health_checks.yml", argv, _environment(scratch), ROOT)


def task_per_check(hosts: dict[str, int], lab: Path, scratch: Path) -> Command:
    """One task a check, as runbooks are commonly written."""
    inventory = scratch / "tasks.json"
    inventory.write_text(json.dumps(_inventory(hosts, lab)), encoding="utf-8")
    tasks = [{"ansible.builtin.command": command, "changed_when": False} for command in COMMANDS]
    playbook = scratch / "tasks.yml"
    play = {"hosts": "platform", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    argv = ["ansible-playbook", "-i", str(inventory), str(playbook)]
    return Command("one task a check", argv, _environment(scratch), ROOT)


def raw_ssh(hosts: dict[str, int], lab: Path, scratch: Path, probe: Path) -> Command:
    """The same probe, piped through ssh by xargs: what no tool can beat."""
    ssh = (
        f"ssh -q -i {lab / 'id_ed25519'} -o UserKnownHostsFile={lab / 'known_hosts'} "
        f"{KEY_EXCHANGE} -o ControlMaster=auto -o ControlPersist=60s -o ControlPath={SOCKETS}/%C "
        f"-p {{}} ops@127.0.0.1 sudo /usr/bin/python3 - < {probe} > /dev/null"
    )
    ports = "\\n".join(map(str, hosts.values()))
    pipeline = f"printf '{ports}\\n' | xargs -P {PARALLEL} -I{{}} sh -c '{ssh}'"
    return Command("raw ssh, same probe", ["bash", "-o", "pipefail", "-c", pipeline], {}, scratch)


def _pyinfra(name: str, hosts: dict[str, int], lab: Path, scratch: Path, operations: list[str]) -> Command:
    folder = scratch / name.replace(" ", "-").replace(",", "")
    folder.mkdir()
    data = {
        "ssh_hostname": "127.0.0.1",
        "ssh_user": "ops",
        "ssh_key": str(lab / "id_ed25519"),
        "ssh_known_hosts_file": str(lab / "known_hosts"),
        "_sudo": True,
    }
    targets = [(host, {**data, "ssh_port": port}) for host, port in hosts.items()]
    (folder / "inventory.py").write_text(f"platform = {targets!r}\n", encoding="utf-8")
    lines = ["from pyinfra.operations import server"]
    lines += [f"server.shell(commands=[{operation!r}])" for operation in operations]
    (folder / "deploy.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pyinfra = str(Path(sys.executable).with_name("pyinfra"))
    argv = [pyinfra, "-y", "--parallel", str(PARALLEL), "inventory.py", "deploy.py"]
    return Command(name, argv, {}, folder)


def pyinfra_probe(hosts: dict[str, int], lab: Path, scratch: Path, probe: Path) -> Command:
    """Pyinfra that runs the same probe in one operation."""
    program = f"/usr/bin/python3 - <<'PROBE_ENDS'\n{probe.read_text(encoding='utf-8')}\nPROBE_ENDS"
    return _pyinfra("pyinfra, same probe", hosts, lab, scratch, [program])


def pyinfra_operations(hosts: dict[str, int], lab: Path, scratch: Path) -> Command:
    """Pyinfra with one operation a check."""
    return _pyinfra("pyinfra, 20 operations", hosts, lab, scratch, list(COMMANDS))
