"""Which account an embedded server runs as.

PostgreSQL refuses to run as root, and Valkey has no need to. Started by root, both run as an
ordinary account instead: the owner of the data if there are data, otherwise ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """How to start a process as an account.

    ``prefix`` goes before the command line, ``options`` to :class:`subprocess.Popen`.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def own(self, path: Path) -> None:
        """Give a file or folder that we just made to this account."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


class ServerError(RuntimeError):
    """An embedded server could not be started or stopped; the message says what to do."""


def account_for(data: Path, program: Path) -> Account:
    """Return the account that ``program`` runs as to work in the folder ``data``.

    Raises:
        ServerError: the data belong to somebody else, or root has no way to step down.
    """
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise ServerError(
                f"{data} belongs to the account {_name(data.stat().st_uid)}, because the first "
                "start was made by it or by root: start as root again, or set TIERCE_HOME to a "
                "folder of your own."
            )
        return Account(os.geteuid(), os.getegid())
    uid, gid = _unprivileged(data)
    if all(_can_reach(path, uid, gid) for path in (data, program)):
        return Account(uid, gid, options={"user": uid, "group": gid, "extra_groups": ()})
    # The project lies in a folder closed to others, such as /root. The one capability given here
    # lets the server read and pass through folders, not write or become anybody.
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError(
            f"As root, the servers run as the account {_name(uid)}, which may not enter the "
            f"folders on the way to {data}. Start as an ordinary user, or move the project to a "
            "folder that everybody may enter, such as /srv/tierce."
        )
    return Account(
        uid,
        gid,
        prefix=(
            setpriv,
            f"--reuid={uid}",
            f"--regid={gid}",
            "--clear-groups",
            "--no-new-privs",
            # PostgreSQL looks at its programs with access(2), which counts the capability only so.
            "--securebits=+no_setuid_fixup",
            "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search",
            "--",
        ),
    )


def _unprivileged(data: Path) -> tuple[int, int]:
    if data.exists() and data.stat().st_uid != 0:
        found = data.stat()
        return found.st_uid, found.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY, _NOBODY
    return nobody.pw_uid, nobody.pw_gid


def _name(uid: int) -> str:
    try:
        return f"'{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return str(uid)


def _can_reach(path: Path, uid: int, gid: int) -> bool:
    """Tell whether every existing folder above ``path`` lets the account pass."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        found = folder.stat()
        if found.st_uid == uid:
            needed = stat.S_IXUSR
        elif found.st_gid == gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True
