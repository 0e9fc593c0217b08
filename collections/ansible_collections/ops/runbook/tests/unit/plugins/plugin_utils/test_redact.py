from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.redact import MASK, Redactor, is_secret_name, is_trivial

SECRET = "s3cr3t 'with\" quotes & more/ü"
KEY = "-----BEGIN KEY-----\nMz4rQk9PTk9UQVJFQUxLRVk=\nb3BlbnNzaA==\n}\n-----END KEY-----\n"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"nested": json.dumps(SECRET)}),
        quote(SECRET),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.replace("'", "''"),
    ],
)
def test_a_secret_is_found_in_each_form(form: str) -> None:
    redactor = Redactor([SECRET])
    assert redactor.data({"text": f"before {form} after"}) != {"text": f"before {form} after"}
    assert "s3cr3t" not in json.dumps(redactor.data([f"x{form}y"]))


def test_each_line_of_a_long_secret_is_one() -> None:
    text = "\n".join(f"+{line}" for line in KEY.splitlines())
    assert Redactor([KEY]).text(text) == f"+{MASK}\n+{MASK}\n+{MASK}\n+}}\n+{MASK}"


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{MASK} {MASK}"


def test_a_short_secret_is_a_whole_word() -> None:
    redactor = Redactor(["42", "a"])
    assert redactor.text("42 1423 42nd (42) a bank") == f"{MASK} 1423 42nd ({MASK}) {MASK} bank"


def test_keys_and_numbers_are_redacted_too() -> None:
    assert Redactor(["8675309", "hunter22"]).data({"hunter22": 8675309, "n": 86753090, "b": True, "z": None}) == {
        MASK: MASK,
        "n": 86753090,
        "b": True,
        "z": None,
    }


def test_data_without_secrets_stays_as_it_is() -> None:
    data = {"list": [1, 2.5, None, True, "text"], "nested": {"a": {"b": []}}}
    assert Redactor(["hunter22"]).data(data) == data
    assert Redactor().data(data) == data


def test_what_is_not_json_becomes_text() -> None:
    class Thing:
        def __str__(self) -> str:
            return "thing with hunter22"

    assert Redactor(["hunter22"]).data({"a": Thing()}) == {"a": f"thing with {MASK}"}


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_nothing_is_no_secret(empty: str) -> None:
    assert Redactor([empty]).text("a b\nc") == "a b\nc"


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "DB_PASSWORD", "password2", "vault_token", "token", "client_secret", "secrets",
        "secret_key_base", "private_key", "privatekey", "tls_private_key", "ansible_become_pass", "api_key", "apikey",
        "ansible_password", "passphrase", "credentials", "smtp-password", "aws_access_key",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "user", "compass", "passenger", "tokenizer", "secretary", "keyboard", "public_key", "bypass_check",
        "private_key_file", "ansible_ssh_private_key_file", "password_min_length", "secret_name", "token_url",
        "token_ttl", "password_authentication", "api_key_id",
    ],
)  # fmt: skip
def test_names_that_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_words_that_every_text_contains() -> None:
    assert is_trivial("yes")
    assert is_trivial(" False ")
    assert not is_trivial("yes-but")


def test_much_data_and_many_secrets_take_little_time() -> None:
    redactor = Redactor(f"secret-number-{number}" for number in range(300))
    data = {"findings": [{"host": f"h{n}", "detail": "x" * 200} for n in range(800)], "last": "secret-number-77"}
    start = time.perf_counter()
    result = redactor.data(data)
    assert time.perf_counter() - start < 2
    assert result["last"] == MASK
