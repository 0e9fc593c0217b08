from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.digest import digest, files_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "main.yml").write_text("one")
    (tmp_path / "site.yml").write_text("two")
    return tmp_path


def of(folder: Path, *words: str) -> str:
    return digest(*words, files=files_below(folder), root=folder)


def test_same_input_same_digest(folder: Path) -> None:
    assert of(folder, "bookworm") == of(folder, "bookworm")
    assert len(of(folder)) == 12


@pytest.mark.parametrize("change", ["content", "name", "new", "mode", "gone"])
def test_any_change_of_a_file_counts(folder: Path, change: str) -> None:
    before = of(folder)
    match change:
        case "content":
            (folder / "site.yml").write_text("three")
        case "name":
            (folder / "site.yml").rename(folder / "other.yml")
        case "new":
            (folder / "roles" / "new.yml").write_text("")
        case "mode":
            (folder / "site.yml").chmod(0o755)
        case "gone":
            (folder / "site.yml").unlink()
    assert of(folder) != before


def test_words_do_not_run_into_each_other(folder: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert of(folder, "bookworm") != of(folder, "trixie")


def test_place_of_the_checkout_does_not_count(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    folder.rename(elsewhere)
    after = of(elsewhere)
    elsewhere.rename(folder)
    assert of(folder) == after


def test_caches_and_tests_do_not_count(folder: Path) -> None:
    before = of(folder)
    (folder / "roles" / "__pycache__").mkdir()
    (folder / "roles" / "__pycache__" / "x.pyc").write_text("cache")
    (folder / "roles" / "test_main.py").write_text("test")
    assert of(folder) == before
