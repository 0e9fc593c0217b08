"""Every host: healthy systemd, the time, the authority."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://platform"]


def test_no_unit_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""


def test_time_is_synchronised(host: Host) -> None:
    fields = host.check_output("chronyc -c tracking").split(",")
    assert fields[-1] == "Normal"
    assert abs(float(fields[4])) < 0.1


def test_authority_is_trusted(host: Host) -> None:
    command = "openssl verify -CApath /etc/ssl/certs /usr/local/share/ca-certificates/lab-ca.crt"
    assert host.run(command).rc == 0
