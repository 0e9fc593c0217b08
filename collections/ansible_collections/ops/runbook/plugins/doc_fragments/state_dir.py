# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where reports, run records and the ledger are kept."""

from __future__ import annotations


class ModuleDocFragment:
    """The option that every plugin reads that writes or reads state on the controller."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Directory on the controller that holds reports, run records and the ledger.
      - A relative path in C(ansible.cfg) starts at the folder of that file.
    type: path
    default: ~/.local/state/ops-runbook
    ini:
      - section: runbook
        key: state_dir
    env:
      - name: RUNBOOK_STATE_DIR
"""
