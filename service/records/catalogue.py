"""The words of records for people: one file a language, with the same names in each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent / "words"
#: The first is what courts here read, and is taken where nobody chose.
LANGUAGES: Final = ("fr", "en", "br")


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str) -> Mapping[str, Any]:
    """Return the words of one of :data:`LANGUAGES`."""
    return tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


def word(language: str, group: str, code: str) -> str:
    """Return the word for a code; one that has none is shown as it is, without its underscores."""
    found: str | None = words(language)[group].get(code)
    return found if found is not None else code.replace("_", " ")
