"""Reading a submitted document."""

from __future__ import annotations

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

MAX_BYTES = 5 * 1024 * 1024
MAX_NAME_LENGTH = 200


def read(body: object) -> tuple[str, str]:
    """The name and content of a document, or an HTTP error that says what is wrong with it."""
    if not isinstance(body, dict):
        raise BadRequest("send a JSON object with name and content")
    name, content = body.get("name"), body.get("content")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise BadRequest(f"name must be a text of 1 to {MAX_NAME_LENGTH} characters")
    if not isinstance(content, str) or not content or "\0" in content or "\0" in name:
        raise BadRequest("content must be a text that is not empty and has no NUL characters")
    if len(content.encode()) > MAX_BYTES:
        raise RequestEntityTooLarge(f"content is larger than {MAX_BYTES} bytes")
    return name, content
