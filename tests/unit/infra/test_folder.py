from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dozor.infra.folder import owned_folder, private_file
from dozor.kernel.errors import JobError

HOLDER = """
import sys, time
from pathlib import Path
from dozor.infra.folder import owned_folder, private_file
with owned_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    with owned_folder(tmp_path / "a" / "b") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with owned_folder(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_holds_something_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "of somebody else").touch()
    tmp_path.chmod(0o755)
    for _ in range(2):
        with owned_folder(tmp_path):
            assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_in_use_names_its_owner_and_is_free_after_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        with (
            pytest.raises(JobError, match=rf"in use by another Dozor, process {held.pid}\. Stop that one"),
            owned_folder(tmp_path),
        ):
            pass
        held.kill()
    with owned_folder(tmp_path):
        assert (tmp_path / "dozor.pid").read_text() == f"{os.getpid()}\n"


def test_a_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with (
        pytest.raises(JobError, match=r"/data cannot be used: .*--data-dir"),
        owned_folder(tmp_path / "data"),
    ):
        pass


def test_a_private_file_is_new_and_belongs_to_who_owns_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
    os.close(private_file(folder / "a"))
    made, owner = (folder / "a").stat(), folder.stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (owner.st_uid, owner.st_gid, 0o600)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            private_file(folder / name)
    assert not (tmp_path / "elsewhere").exists()
