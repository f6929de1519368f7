"""Files by their hash, and what is deleted when its date has come or nothing names it any more."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import fsspec  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from disputes import evidence, store
from disputes.evidence import New
from disputes.evidence_rows import StoredFile
from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from service import db
from service.config import Settings
from service.exchanges import evidence_sweep
from service.exchanges.case_evidence import lock_name
from service.files import FileMissing, Files, files_of
from tests.disputes.people import DAY, NOW, People

CLOSED = NOW + DAY
DATE = CLOSED + timedelta(days=evidence.KEEP_DAYS)


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture(params=["folder", "elsewhere"])
def files(request: pytest.FixtureRequest, folder: Path) -> Files:
    if request.param == "folder":
        return Files(str(folder))
    return Files(f"memory://{secrets.token_hex(8)}/files")


def brought(people: People, case: Case, files: Files, content: bytes) -> str:
    hash_ = files.put(content)
    new = New(
        uuid4(),
        case.id,
        "photo",
        case.payer_id,
        "member",
        text="The box.",
        file=StoredFile(hash_, "b" * 64, "image/jpeg", len(content)),
    )
    with people.inside() as connection:
        evidence.add(connection, people.platform_id, new, NOW)
    return hash_


def closed(people: People, case: Case) -> None:
    with people.inside() as connection:
        held = store.load(connection, people.platform_id, [case.id], lock=True)[case.id]
    people.changed(held, CLOSED, stage=Stage.CLOSED, outcome=Outcome.TO_PAYER, closed_at=CLOSED)


def fresh() -> bytes:
    return secrets.token_bytes(100)


def test_a_file_is_kept_under_its_hash_and_comes_back_whole(files: Files) -> None:
    content = fresh()
    hash_ = files.put(content)
    assert hash_ == hashlib.sha256(content).hexdigest()
    assert files.put(content) == hash_
    assert files.get(hash_) == content
    assert files.has(hash_)
    assert files.remove(hash_)
    assert not files.has(hash_)
    assert not files.remove(hash_)
    with pytest.raises(FileMissing):
        files.get(hash_)


@pytest.mark.parametrize(
    "name", ["", "../" * 20 + "etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n"]
)
def test_nothing_but_a_hash_names_a_file(files: Files, name: str) -> None:
    for use in (files.get, files.has, files.remove):
        with pytest.raises(ValueError, match="SHA-256"):
            use(name)


def test_a_file_that_was_changed_is_not_given_out_and_mended_by_its_next_sender(
    folder: Path,
) -> None:
    files, content = Files(str(folder)), fresh()
    hash_ = files.put(content)
    Path(files.path(hash_)).write_bytes(b"something else")
    with pytest.raises(FileMissing):
        files.get(hash_)
    files.put(content)
    assert files.get(hash_) == content


def test_nobody_else_on_the_machine_reads_the_files(folder: Path) -> None:
    files = Files(str(folder))
    path = Path(files.path(files.put(fresh())))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in folder.rglob("*") if one.is_file()] == [path.name]


def test_a_file_is_never_waited_for_in_a_transaction(files: Files, engine: Engine) -> None:
    hash_ = files.put(fresh())
    with db.transaction(engine, db.SYSTEM):
        for use in (files.get, files.has, files.remove):
            with pytest.raises(RuntimeError):
                use(hash_)
        with pytest.raises(RuntimeError):
            files.put(fresh())
        with pytest.raises(RuntimeError):
            next(files.older_than(NOW))
    assert files.has(hash_)


def test_where_files_go_is_in_the_home_unless_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    for settings, root in (
        (Settings(home=tmp_path, files_url=None), tmp_path / "files"),
        (Settings(home=tmp_path, files_url=str(told)), told),
        (Settings(home=tmp_path, files_url=told.as_uri()), told),
    ):
        assert Path(files_of(settings).path("a" * 64)) == root / "aa" / ("a" * 64)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="TIERCE_FILES_URL"):
        Files("nowhere://bucket")


def test_a_file_goes_on_its_date_and_its_hash_stays(people: People, files: Files) -> None:
    case, open_case = people.opened(), people.opened()
    hash_ = brought(people, case, files, fresh())
    other = brought(people, open_case, files, fresh())
    closed(people, case)
    evidence_sweep.run(people.engine, files, DATE - timedelta(microseconds=1))
    assert files.has(hash_)
    evidence_sweep.run(people.engine, files, DATE)
    assert not files.has(hash_)
    assert files.has(other)
    with people.inside() as connection:
        [gone] = evidence.of_case(connection, people.platform_id, case.id)
        [still] = evidence.of_case(connection, people.platform_id, open_case.id)
    assert (gone.text, gone.deleted_at) == (None, DATE)
    assert gone.file is not None
    assert gone.file.hash == hash_
    assert (still.text, still.deleted_at) == ("The box.", None)


def test_a_file_stays_while_another_platform_s_case_needs_it(
    people: People, files: Files, new_platform: Callable[[], UUID]
) -> None:
    other, content = People(people.engine, new_platform()), fresh()
    mine, theirs = people.opened(), other.opened()
    hash_ = brought(people, mine, files, content)
    assert brought(other, theirs, files, content) == hash_
    closed(people, mine)
    evidence_sweep.run(people.engine, files, DATE)
    assert files.has(hash_)
    closed(other, theirs)
    evidence_sweep.run(people.engine, files, DATE)
    assert not files.has(hash_)


def test_a_sandbox_that_is_ahead_deletes_by_its_own_clock(people: People, files: Files) -> None:
    case = people.opened()
    hash_ = brought(people, case, files, fresh())
    closed(people, case)
    real = DATE - timedelta(days=30)
    evidence_sweep.run(people.engine, files, real)
    assert files.has(hash_)
    with db.transaction(people.engine, db.SYSTEM) as connection:
        connection.execute(
            text(
                "INSERT INTO service.platform_clock (platform_id, ahead) "
                "VALUES (:platform_id, '31 days')"
            ),
            {"platform_id": people.platform_id},
        )
    evidence_sweep.run(people.engine, files, real)
    assert not files.has(hash_)


def test_a_file_without_a_row_is_swept_the_next_day_and_pieces_of_files_a_week_later(
    people: People, folder: Path
) -> None:
    files, real = Files(str(folder)), datetime.now(UTC)
    named = brought(people, people.opened(), files, fresh())
    unnamed = files.put(fresh())
    piece = Path(files.path(unnamed)).with_suffix(".0123.part")
    piece.write_bytes(b"half")
    stranger = folder / "README"
    stranger.write_text("not ours")
    evidence_sweep.run(people.engine, files, real)
    assert files.has(unnamed)
    assert piece.exists()
    later = real + evidence_sweep.UNNAMED + timedelta(minutes=1)
    evidence_sweep.run(people.engine, files, later)
    assert not files.has(unnamed)
    assert piece.exists()
    evidence_sweep.run(people.engine, files, later + timedelta(days=7))
    assert not piece.exists()
    assert files.has(named)
    assert stranger.exists()


def test_a_copy_of_the_database_sweeps_nothing_of_what_is_the_first_one_s(
    people: People, files: Files
) -> None:
    case = people.opened()
    hash_, unnamed = brought(people, case, files, fresh()), files.put(fresh())
    closed(people, case)
    assert files.is_of("another cluster/1")
    later = datetime.now(UTC) + evidence_sweep.UNNAMED + timedelta(minutes=1)
    with capture_logs() as lines:
        evidence_sweep.run(people.engine, files, max(DATE, later))
    assert [line["event"] for line in lines] == ["files_of_another_database"]
    assert files.has(hash_)
    assert files.has(unnamed)
    with people.inside() as connection:
        [piece] = evidence.of_case(connection, people.platform_id, case.id)
    assert piece.deleted_at is None


def test_elsewhere_files_without_a_row_are_swept_too(people: People) -> None:
    files = Files(f"memory://{secrets.token_hex(8)}/files")
    named = brought(people, people.opened(), files, fresh())
    unnamed = files.put(fresh())
    later = datetime.now(UTC) + evidence_sweep.UNNAMED + timedelta(minutes=1)
    evidence_sweep.run(people.engine, files, later)
    assert (files.has(named), files.has(unnamed)) == (True, False)


def test_a_file_that_somebody_is_about_to_name_is_left_alone(
    people: People, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_ = files.put(fresh())
    later = datetime.now(UTC) + evidence_sweep.UNNAMED + timedelta(minutes=1)
    monkeypatch.setattr(evidence_sweep, "_PATIENCE", timedelta(milliseconds=50))
    with db.alone(people.engine, lock_name(hash_)) as mine:
        assert mine
        evidence_sweep.run(people.engine, files, later)
        assert files.has(hash_)
    evidence_sweep.run(people.engine, files, later)
    assert not files.has(hash_)


def test_what_died_between_the_row_and_the_file_is_found_the_next_day(
    people: People, folder: Path
) -> None:
    files, case = Files(str(folder)), people.opened()
    hash_ = brought(people, case, files, fresh())
    closed(people, case)
    elsewhere = Files(f"memory://{secrets.token_hex(8)}/files")
    evidence_sweep.run(people.engine, elsewhere, DATE)  # the row is deleted, the file is not
    assert files.has(hash_)
    old = (DATE - 2 * evidence_sweep.UNNAMED).timestamp()
    os.utime(files.path(hash_), (old, old))
    evidence_sweep.run(people.engine, files, DATE)
    assert not files.has(hash_)


def test_the_place_can_be_anything_that_fsspec_writes_to() -> None:
    root = secrets.token_hex(8)
    hash_ = Files(f"memory://{root}").put(b"x")
    assert fsspec.filesystem("memory").cat_file(f"/{root}/{hash_[:2]}/{hash_}") == b"x"
