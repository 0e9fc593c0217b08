"""Token authentication. Only digests of the tokens are on the host."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from werkzeug.exceptions import Unauthorized


def submitter_of(header: str, tokens: Mapping[str, str]) -> str:
    """Whose token (submitter → SHA-256 of the token) the Authorization header carries; 401 if nobody's."""
    scheme, _, token = header.partition(" ")
    given = hashlib.sha256(token.strip().encode()).hexdigest()
    matching = [submitter for submitter, digest in tokens.items() if hmac.compare_digest(digest, given)]
    if scheme.lower() != "bearer" or not matching:
        raise Unauthorized("send a valid token: Authorization: Bearer <token>")
    return matching[0]
