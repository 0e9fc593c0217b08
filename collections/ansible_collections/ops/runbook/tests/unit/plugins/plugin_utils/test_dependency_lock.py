from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, LockError, Pin, identity, parse

HASH = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
HERE = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux", "extra": ""}
TEXT = f"""\
# made by a tool
click==8.3.0 \\
    --hash={HASH} \\
    --hash={OTHER}
typing-Extensions==4.16.0 ; python_full_version < '3.13' \\
    --hash={HASH}
tzdata==2026.6 ; sys_platform == 'win32' --hash={HASH}
"""


def lock(**versions: str) -> Lock:
    return Lock({name: Pin(name, version, (HASH,)) for name, version in versions.items()})


def test_only_what_is_for_this_python_counts() -> None:
    found = parse(TEXT, HERE, "lock")
    assert found.lines == ["click==8.3.0", "typing-extensions==4.16.0"]
    assert found.pins["click"].hashes == (HASH, OTHER)


def test_text_of_a_lock_reads_as_the_same_lock() -> None:
    found = parse(TEXT, HERE, "lock")
    assert parse(found.text, {}, "lock") == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "pins no package"),
        ("# nothing\n\n", "pins no package"),
        (f"tzdata==1 ; sys_platform == 'win32' --hash={HASH}", "pins no package"),
        ("click==8.3.0", "line 1: click has no --hash=sha256"),
        ("click==8.3.0 --hash=md5:aa", "line 1: click has no --hash=sha256"),
        (f"\nclick>=8 --hash={HASH}", "line 2: click is not pinned"),
        (f"click==8.* --hash={HASH}", "click is not pinned"),
        (f"click --hash={HASH}", "click is not pinned"),
        (f"click @ https://example.com/click.whl --hash={HASH}", "click is not pinned"),
        ("-r other.txt", "-r has no place"),
        ("--index-url https://example.com", "--index-url has no place"),
        (f"click==1 --hash={HASH}\nClick==2 --hash={HASH}", "line 2: click is pinned to 1 and to 2"),
        ("two words --hash=sha256:aa", "is no package and version"),
    ],
)
def test_locks_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(LockError, match=said):
        parse(text, HERE, "lock")


def test_moves_name_every_change() -> None:
    moves = lock(click="8.3", flask="3.1", gone="1").moves_to(lock(click="8.5", flask="3.1", new="2"))
    assert [str(move) for move in moves] == ["click 8.3 → 8.5", "gone 1 (removed)", "new 2 (new)"]


def test_identity_is_that_of_code_versions_and_python() -> None:
    same = identity("code", lock(click="8.3"), "3.11")
    assert identity("code", Lock({"click": Pin("click", "8.3", (OTHER,))}), "3.11") == same
    assert len({same, *(identity(*other) for other in OTHERS)}) == 1 + len(OTHERS)


OTHERS = [
    ("other", lock(click="8.3"), "3.11"),
    ("code", lock(click="8.5"), "3.11"),
    ("code", lock(click="8.3"), "3.13"),
]
