# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to say of check mode where nothing is changed."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of modules that only look, plan or report."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
"""
