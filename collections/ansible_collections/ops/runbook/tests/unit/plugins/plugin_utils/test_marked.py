# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An answer is found among what a log-in prints, and only there."""

from __future__ import annotations

from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind, text_behind


def test_the_last_line_with_the_mark_counts() -> None:
    output = 'Welcome\n@x {"a": 1}\n@x {"a": 2}\nthe mark @x in a line\n'
    assert answer_behind("@x ", output) == {"a": 2}
    assert text_behind("@x ", output) == '{"a": 2}'


def test_no_answer() -> None:
    assert answer_behind("@x ", "Welcome\n") is None
    assert text_behind("@x ", "") is None
    assert text_behind("@x ", "@x \n") == ""
