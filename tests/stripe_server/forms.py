"""Request bodies: forms with nested brackets, and multipart uploads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Upload:
    """One uploaded file."""

    filename: str
    content: bytes


def parse(text: str) -> dict[str, Any]:
    """Read ``a[b]=1&c[]=2&d[0][e]=3`` into ``{"a": {"b": "1"}, "c": ["2"], "d": [{"e": "3"}]}``."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        put(tree, key, value)
    return {key: _lists(value) for key, value in tree.items()}


def multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """Read a multipart body, byte for byte; files come as :class:`Upload`."""
    boundary = _attribute(content_type, "boundary") or ""
    tree: dict[str, Any] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = head.decode()
        name, filename = _attribute(headers, "name"), _attribute(headers, "filename")
        if name is None:
            continue
        if filename is None:
            put(tree, name, content.decode())
        else:
            put(tree, name, Upload(filename, content))
    return {key: _lists(value) for key, value in tree.items()}


def _attribute(header: str, name: str) -> str | None:
    """Return ``name="value"`` or ``name=value`` of a header."""
    found = re.search(rf'(?<![\w-]){name}=(?:"([^"]*)"|([^\s;]+))', header)
    return None if found is None else found[1] or found[2]


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set one bracketed key; ``[]`` appends, any other key said twice keeps the last word."""
    first, *rest = key.replace("]", "").split("[")
    names = [first, *rest]
    node = tree
    for name in names[:-1]:
        below = node.setdefault(name, {})
        if not isinstance(below, dict):
            below = node[name] = {}
        node = below
    last = names[-1] if names[-1] or len(names) == 1 else str(len(node))
    node[last] = value


def _lists(value: Any) -> Any:
    """Turn ``{"0": …, "1": …}`` into a list, at every depth."""
    if not isinstance(value, dict):
        return value
    below = {name: _lists(inner) for name, inner in value.items()}
    if below and all(name.isdigit() for name in below):
        return [below[name] for name in sorted(below, key=int)]
    return below
