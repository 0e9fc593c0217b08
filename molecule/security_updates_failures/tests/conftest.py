"""Two application hosts with a package of our own, whose next version is what a test makes it."""

from __future__ import annotations

import json

import pytest

from tests.scenario import ROOT, Outcome, Procedure, on_all, shell

HOSTS = ("app1", "app2")
#: Gates that give up soon: what is broken here stays broken.
HASTE = ("-e", "health_check_gate_retries=2", "-e", "health_check_gate_delay=1")


class Platform:
    """The hosts, their package and the procedure."""

    def __init__(self, procedure: Procedure) -> None:
        self.procedure = procedure
        self._number = 0

    def publish(self, kind: str = "", *, hosts: tuple[str, ...] = HOSTS) -> str:
        """Put a new version into the repository; these hosts get version 1.0."""
        self._number += 1
        version = f"1.{self._number}"
        shell("db2", f"lab-repository {version} {kind}")
        former = "apt-get -qq install --allow-downgrades lab-agent=1.0 >/dev/null 2>&1"
        on_all(lambda host: shell(host, f"apt-get -qq update; {former}; systemctl is-active --quiet lab-agent"), hosts)
        return version

    def run(self, *options: str, limit: str = ",".join(HOSTS)) -> Outcome:
        """Run the procedure on the hosts."""
        return self.procedure.run("--limit", limit, *HASTE, *options)

    def losing(self, host: str, task: str, *options: str) -> Outcome:
        """Run it on the hosts, one of which does not answer from that task on."""
        return self.procedure.losing(host, task, "--limit", ",".join(HOSTS), *HASTE, *options)

    def values(self, limit: str = ",".join(HOSTS), *, check: bool = False, **options: object) -> Outcome:
        """Run it with values of the role's variables."""
        extra = json.dumps({f"security_updates_{name}": value for name, value in options.items()})
        return self.run(*(("--check",) if check else ()), "-e", extra, limit=limit)

    def version(self, host: str) -> str:
        """The package's version on a host, and whether its service runs."""
        state = "dpkg-query --show --showformat '${Version} ${db:Status-Status} ' lab-agent"
        return shell(host, f"{state}; systemctl is-active lab-agent || true").strip()

    def upstreams(self) -> str:
        """Who gets requests."""
        return shell("proxy1", "upstream-state evidence-api").strip()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    inventories = (ROOT / "inventories/lab",)
    return Platform(Procedure("maintenance/security_updates", inventories, tmp_path_factory.mktemp("state")))
