# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state directory, for the kinds of plugins that Ansible itself gives no options."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible import constants
from ansible_collections.ops.runbook.plugins.doc_fragments.state_dir import ModuleDocFragment

_OPTION = "state_dir"


def state_dir() -> Path:
    """Value of the option that the documentation fragment ``ops.runbook.state_dir`` declares."""
    definitions = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    constants.config.initialize_plugin_configuration_definitions("action", "ops.runbook.state", definitions)
    return Path(constants.config.get_config_value(_OPTION, plugin_type="action", plugin_name="ops.runbook.state"))
