"""What holds for every page: words in three languages, files that never change, own scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.messages.words import LOCALES
from service.web import assets, words
from service.web.render import POLICY
from tests.http.client import Api, problem

_TEMPLATES = Path(assets.__file__).parent / "templates"
_FILES = sorted({path.name for path in words.FOLDER.glob("*/*.toml")})


def _shape(found: Any) -> Any:
    return {key: _shape(one) for key, one in found.items()} if isinstance(found, Mapping) else None


def _facts(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _facts(one) for key, one in found.items()}
    return sorted(re.findall(r"{{.*?}}", found))


@pytest.mark.parametrize("file", _FILES)
def test_every_language_says_the_same_things_of_the_same_facts(file: str) -> None:
    first, *others = (words.catalogue(locale, Path(file).stem) for locale in LOCALES)
    for other in others:
        assert _shape(other) == _shape(first)
    if file != "member.toml":  # its sentences are built differently in each language
        for other in others:
            assert _facts(other) == _facts(first)


@pytest.mark.parametrize("file", _FILES)
def test_no_language_is_another_left_untranslated(file: str) -> None:
    said = [str(words.catalogue(locale, Path(file).stem)) for locale in LOCALES]
    assert len(set(said)) == len(LOCALES)


def test_a_file_of_the_pages_is_kept_for_ever_and_named_by_its_content(anonymous: Api) -> None:
    for name in ("tierce.css", "tierce.js", "icon.svg"):
        answer = anonymous.get(assets.address(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    problem(anonymous.get("/static/tierce.0000000000000000.css"), 404, "not_found")
    problem(anonymous.get("/static/..%2Frender.py"), 404, "not_found")


@pytest.mark.parametrize("template", sorted(_TEMPLATES.glob("*.html")), ids=lambda one: one.name)
def test_no_page_needs_what_its_policy_forbids(template: Path) -> None:
    html = template.read_text()
    assert "unsafe" not in POLICY
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", html)
    for script in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL):
        assert not script.strip()
