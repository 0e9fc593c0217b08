# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who signs the ledger."""

from __future__ import annotations


class ModuleDocFragment:
    """The option of every plugin that appends to the ledger."""

    DOCUMENTATION = r"""
options:
  signing_key:
    description:
      - SSH key that signs the ledger's checkpoint after each entry - a private key without passphrase, or a public key
        whose private one is loaded in C(ssh-agent).
      - Without it the ledger is hash-chained, but says nothing about who wrote it.
    type: path
    ini:
      - section: runbook
        key: signing_key
    env:
      - name: RUNBOOK_SIGNING_KEY
"""
