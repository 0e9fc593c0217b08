#!/usr/bin/env bash
# Installs what the project needs on a Debian or Ubuntu machine: system packages (where missing) and the locked
# Python environment in .venv. Safe to run again; does nothing when everything is in place.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_system_packages() {
    local missing=() package command
    while read -r command package; do
        command -v "$command" >/dev/null || [ -x "/usr/lib/podman/$command" ] || [ -f "$command" ] || missing+=("$package")
    done <<'LIST'
podman podman
netavark netavark
aardvark-dns aardvark-dns
runc runc
iptables iptables
slirp4netns slirp4netns
newuidmap uidmap
mmdebstrap mmdebstrap
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
gpg gpg
ssh openssh-client
openssl openssl
git git
curl curl
faketime faketime
b3sum b3sum
LIST
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || {
        echo "setup: this machine has no apt-get; install these packages by hand: ${missing[*]}" >&2
        exit 1
    }
    as_root apt-get update -qq
    install_packages "${missing[@]}"
}

install_packages() {
    say "Installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# Without a pipe: one that ends early makes the whole pipeline fail.
has_chromium() { [[ $(apt-cache policy chromium 2>/dev/null) == *'Candidate: '[0-9]* ]]; }

# Only tests of what people see need it. A snap will not do: it is shut off from the files that they open.
install_browser() {
    local found
    for found in "$(command -v google-chrome)" "$(command -v chromium)"; do
        [[ -n $found && $found != /snap/* ]] && return
    done
    if ! has_chromium && command -v apt-get >/dev/null; then
        as_root apt-get update -qq # the machine may have no lists yet
    fi
    if has_chromium; then
        install_packages chromium
    else
        say "There is no package chromium here (on Ubuntu it is a snap, which cannot open the tests' files)." \
            "For the tests of reports and site, install Chrome: https://www.google.com/chrome/"
    fi
}

# The first interpreter that really runs and is new enough; a shim on PATH may not be.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.14 python3 "$HOME"/.pyenv/versions/3.1[2-4].*/bin/python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo 3.13 # uv downloads it
}

install_python_environment() {
    local stamp=.venv/requirements.lock uv=.bootstrap/bin/uv
    cmp -s requirements.lock "$stamp" && return
    [ -x "$uv" ] || {
        python3 -m venv .bootstrap
        .bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv
    }
    say "Installing the locked Python environment"
    "$uv" venv --quiet --clear --python "$(find_python)" .venv
    # Compiled once, here: where PYTHONDONTWRITEBYTECODE is set, every start of ansible-playbook would compile all of it.
    "$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements.lock
    cp requirements.lock "$stamp"
}

# The oldest that hosts may have: the program that they get is tested on it. A shim on PATH may not be it.
install_oldest_python() {
    local candidate
    for candidate in "$HOME"/.pyenv/versions/3.9.*/bin/python python3.9 \
        "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-3.9.*/bin/python3.9; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 9))' 2>/dev/null && return
    done
    say "Installing Python 3.9 for the tests"
    .bootstrap/bin/uv python install --quiet 3.9 || say "That failed: the test that the probe runs on it will fail, too."
}

install_system_packages
install_browser
install_python_environment
install_oldest_python
