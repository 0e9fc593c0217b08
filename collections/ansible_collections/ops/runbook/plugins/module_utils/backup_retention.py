# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which backups may go: none that is younger than its retention, and never the last good one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Backup:
    """A backup as far as its retention is concerned."""

    label: str
    #: When it was complete, in seconds since 1970.
    made: float
    full: bool = True
    #: Whether it was verified and found whole.
    good: bool = True
    #: Labels of those without which it cannot be restored.
    needs: frozenset[str] = frozenset()


def expirable_databases(
    backups: Sequence[Backup], now: float, keep_full: float, keep_differential: float
) -> tuple[str, ...]:
    """Labels that may be removed, those first that no other needs.

    A full backup goes when a newer good one has itself reached the retention: until then a point in time inside of
    the retention needs it. A backup from the future is not taken for proof of anything.
    """
    known = [backup for backup in backups if backup.made <= now]
    proven = [backup for backup in known if backup.good]
    newest = max((backup.made for backup in proven), default=None)
    if newest is None:
        return ()
    old_enough = [backup.made for backup in proven if backup.full and now - backup.made >= keep_full]
    horizon = max(old_enough, default=None)
    gone = {b.label for b in known if b.full and horizon is not None and b.made < horizon}
    # What was made upon a full backup goes with it, and only if it is older than its own retention, too.
    dependants = [backup for backup in known if not backup.full]
    gone -= {
        need
        for backup in dependants
        for need in backup.needs
        if horizon is not None and (backup.made >= horizon or now - backup.made < keep_differential)
    }
    gone |= {backup.label for backup in dependants if backup.needs & gone}
    gone |= {b.label for b in dependants if now - b.made >= keep_differential and b.made != newest}
    gone -= _needed_by_others(backups, gone)
    return tuple(b.label for b in sorted(known, key=lambda each: (each.full, -each.made)) if b.label in gone)


def _needed_by_others(backups: Sequence[Backup], gone: Collection[str]) -> set[str]:
    """What those that stay cannot be restored without, whatever it takes."""
    needed: set[str] = set()
    waiting = [backup for backup in backups if backup.label not in gone]
    by_label = {backup.label: backup for backup in backups}
    while waiting:
        for label in waiting.pop().needs:
            if label not in needed and label in by_label:
                needed.add(label)
                waiting.append(by_label[label])
    return needed


def expirable_snapshots(snapshots: Sequence[Backup], now: float, keep: float) -> tuple[str, ...]:
    """Labels of snapshots of one set that may be forgotten, oldest first: judged by the clock of the store.

    Whoever holds the host that makes them can date them as he likes. One from the future therefore neither counts as
    the last good one, nor goes.
    """
    known = sorted((each for each in snapshots if each.made <= now), key=lambda each: each.made)
    good = [each for each in known if each.good]
    if not good:
        return ()
    return tuple(each.label for each in known if now - each.made >= keep and each.label != good[-1].label)
