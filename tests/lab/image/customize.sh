# Turns the freshly unpacked system in $1 into a lab host. mmdebstrap runs it as a hook, outside the system.
set -eu
root=$1

cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'CONF'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UseDNS no
CONF

# Every host makes its own host keys and machine id at first boot, and takes the name and the key of its administrator from
# its environment: those of the store are not those of the platform.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
cat >"$root/usr/local/sbin/lab-identity" <<'SCRIPT'
#!/bin/sh
set -eu
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
id "$LAB_ADMINISTRATOR" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$LAB_ADMINISTRATOR"
[ -e "/etc/sudoers.d/$LAB_ADMINISTRATOR" ] ||
    echo "$LAB_ADMINISTRATOR ALL=(ALL) NOPASSWD: ALL" | install -m 0440 /dev/stdin "/etc/sudoers.d/$LAB_ADMINISTRATOR"
keys=/home/$LAB_ADMINISTRATOR/.ssh
[ -e "$keys/authorized_keys" ] || {
    install -d -o "$LAB_ADMINISTRATOR" -g "$LAB_ADMINISTRATOR" -m 0700 "$keys"
    echo "$LAB_CLIENT_KEY" |
        install -o "$LAB_ADMINISTRATOR" -g "$LAB_ADMINISTRATOR" -m 0600 /dev/stdin "$keys/authorized_keys"
}
SCRIPT
chmod 0755 "$root/usr/local/sbin/lab-identity"
cat >"$root/etc/systemd/system/lab-identity.service" <<'UNIT'
[Unit]
Description=Host key and administrator of this lab
DefaultDependencies=no
After=local-fs.target
Before=ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
PassEnvironment=LAB_ADMINISTRATOR LAB_CLIENT_KEY
ExecStart=/usr/local/sbin/lab-identity

[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl --quiet enable lab-identity.service

# Timers that would work on their own in the middle of a test.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer systemd-tmpfiles-clean.timer

# A lab host that loses power is thrown away: no need to wait for the disk.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
