"""A photograph that a form sends: the one file of a ``multipart/form-data`` body (RFC 7578)."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import Message

from starlette.requests import Request


async def one_file(request: Request, name: str) -> bytes | None:
    """Return the bytes of the file field ``name``, None where none was chosen.

    The whole body is read; its size is limited while it comes (service/http/middleware.py).
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return None
    head = f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n".encode("latin-1", "replace")
    found: Message = message_from_bytes(head + await request.body(), policy=policy.HTTP)
    for part in found.walk():
        if part.get_param("name", header="content-disposition") == name:
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) and content else None
    return None
