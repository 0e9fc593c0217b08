"""What messages of restic mean: judged by what it says, never by names of files in its progress."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import explain

PROGRESS = (
    '{"message_type":"status","current_files":["/srv/403/certificate.pem","/srv/401"]}\n'
    '{"message_type":"error","error":{"message":"open: permission denied"},"item":"/etc/ssl/certificate/x509: 500 "}\n'
)
REST = "Fatal: unable to save snapshot: rest: unexpected response"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (f"{REST} (403): 403 Forbidden", "append-only"),
        (f"{REST} (401): 401 Unauthorized", "login"),
        (f"{REST} (507): 507 Insufficient Storage", "full"),
        ('Fatal: Post "https://store1:8000/": x509: certificate has expired or is not yet valid', "certificate"),
        ('Fatal: Post "https://store1:8000/": tls: failed to verify certificate', "certificate"),
        ("Fatal: Head: dial tcp 10.0.0.4:8000: connect: connection refused", "unreachable"),
        ("Fatal: wrong password or no key found", "cipher"),
        ('{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', "cipher"),
        ("Fatal: all of 14013 files in /srv/certificates could not be read", "failed"),
        ("", "failed"),
    ],
)
def test_the_cause_is_what_restic_says(said: str, cause: str) -> None:
    error = explain(f"{PROGRESS}{said}", "the backup of api")
    assert error.cause == cause
    assert "/srv/403" not in str(error)
