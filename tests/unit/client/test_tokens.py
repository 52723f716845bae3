from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from dozor.client.tokens import KeptTokens, TokenFile
from dozor.kernel.errors import JobError

ANNA = KeptTokens("access", "refresh", 1_800.0, "anna")


def test_what_is_kept_is_found_again_by_the_address_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "dozor" / "tokens.json"
    TokenFile(path, "http://one:5000/").save(ANNA)
    TokenFile(path, "http://two:5000").save(KeptTokens("a", "b", 0.0))
    assert TokenFile(path, "http://one:5000").load() == ANNA
    TokenFile(path, "http://one:5000").forget()
    assert TokenFile(path, "http://one:5000").load() is None
    assert TokenFile(path, "http://two:5000").load() == KeptTokens("a", "b", 0.0)


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dozor" / "tokens.json"
    TokenFile(path, "http://one").save(ANNA)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["tokens.json"]


def test_a_file_that_others_may_read_is_refused_with_the_command_that_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    TokenFile(path, "http://one").save(ANNA)
    path.chmod(0o644)
    with pytest.raises(JobError, match="chmod 600"):
        TokenFile(path, "http://one").load()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http://one": {"access_token": "a"}}'])
def test_a_file_that_is_no_use_is_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    path.chmod(0o600)
    assert TokenFile(path, "http://one").load() is None
    TokenFile(path, "http://one").save(ANNA)
    assert TokenFile(path, "http://one").load() == ANNA


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "dozor").write_text("a file")
    keeper = TokenFile(tmp_path / "dozor" / "tokens.json", "http://one")
    with pytest.raises(JobError, match="Not a directory"):
        keeper.save(ANNA)
    with pytest.raises(JobError, match="cannot be kept"), keeper.locked():
        pass


def test_one_at_a_time_holds_the_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    inside = 0
    most = 0
    begin = threading.Barrier(8)

    def work() -> None:
        nonlocal inside, most
        keeper = TokenFile(path, "http://one")  # as a process of its own would have it
        begin.wait()
        for _round in range(20):
            with keeper.locked():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)
