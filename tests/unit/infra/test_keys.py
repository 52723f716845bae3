from __future__ import annotations

from pathlib import Path

import pytest

from dozor.infra import keys
from dozor.infra.keys import KEY_FILE, KeyRing, open_keys, rotate
from dozor.kernel.errors import JobError, SettingsError

OLD = "the-first-secret-of-at-least-32-characters"
NEW = "another-secret-of-at-least-32-characters"


@pytest.fixture
def _looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_S", 0.0)


def test_each_purpose_has_a_key_of_its_own_and_always_the_same() -> None:
    ring = KeyRing(OLD)
    assert ring.derive("jwt") == KeyRing(OLD).derive("jwt") != ring.derive("csrf")
    assert len(ring.derive("jwt")) == 32
    assert ring.derive("jwt") != KeyRing(NEW).derive("jwt")


def test_a_former_secret_checks_and_decrypts_while_the_current_one_signs() -> None:
    before, after = KeyRing(OLD), KeyRing(NEW, [OLD])
    assert after.check("csrf", "ann", before.sign("csrf", "ann"))
    assert not before.check("csrf", "ann", after.sign("csrf", "ann"))
    assert after.decrypt(before.encrypt("токен")) == "токен"
    assert list(after.derived("jwt").values()) == [KeyRing(NEW).derive("jwt"), before.derive("jwt")]
    assert len(after.derived("jwt")) == 2


def test_a_signature_holds_for_its_purpose_and_message_alone() -> None:
    ring = KeyRing(OLD)
    signature = ring.sign("csrf", "ann")
    assert not ring.check("csrf", "bob", signature)
    assert not ring.check("jwt", "ann", signature)
    assert not ring.check("csrf", "ann", "é" + signature[1:])


def test_a_value_of_another_secret_or_a_changed_one_is_refused() -> None:
    encrypted = KeyRing(OLD).encrypt("token")
    for text in (KeyRing(NEW).encrypt("token"), encrypted[:-4] + "AAA=", "plain"):
        with pytest.raises(JobError, match="previous_secret_keys"):
            KeyRing(OLD).decrypt(text)


@pytest.mark.parametrize("secret", ["your-secret-key-here", "x" * 31, "ab" * 40])
def test_a_secret_that_could_be_guessed_is_refused_with_the_command_that_makes_one(secret: str) -> None:
    with pytest.raises(SettingsError, match="openssl rand -base64 48") as caught:
        KeyRing(secret)
    assert secret not in str(caught.value)


def test_the_first_start_makes_a_secret_for_this_user_alone(tmp_path: Path) -> None:
    ring = open_keys(tmp_path / "data")
    file = tmp_path / "data" / KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().strip()) >= 32
    assert open_keys(tmp_path / "data").derive("jwt") == ring.derive("jwt")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_a_set_secret_needs_no_file_and_the_file_of_before_still_checks(tmp_path: Path) -> None:
    assert open_keys(tmp_path, NEW).derive("jwt") == KeyRing(NEW).derive("jwt")
    assert not list(tmp_path.iterdir())
    made = open_keys(tmp_path)
    assert open_keys(tmp_path, NEW).check("csrf", "ann", made.sign("csrf", "ann"))


@pytest.mark.usefixtures("_looked_at_each_time")
def test_a_running_process_takes_over_a_rotated_secret(tmp_path: Path) -> None:
    running = open_keys(tmp_path)
    before = running.sign("csrf", "ann")
    rotate(tmp_path)
    assert running.sign("csrf", "ann") != before
    assert running.check("csrf", "ann", before)
    assert len((tmp_path / KEY_FILE).read_text().split()) == 2


@pytest.mark.usefixtures("_looked_at_each_time")
def test_a_running_process_keeps_its_keys_when_the_file_goes_or_breaks(tmp_path: Path) -> None:
    running = open_keys(tmp_path)
    before = running.derive("jwt")
    (tmp_path / KEY_FILE).write_text("short\n")
    assert running.derive("jwt") == before
    (tmp_path / KEY_FILE).unlink()
    assert running.derive("jwt") == before


def test_a_file_that_others_can_read_is_refused_with_the_command_that_closes_it(tmp_path: Path) -> None:
    open_keys(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(JobError, match=rf"mode 640.*chmod 600 {tmp_path}/secret.key"):
        open_keys(tmp_path)


def test_an_empty_file_is_not_filled_anew(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).touch(mode=0o600)
    with pytest.raises(JobError, match=r"empty.*backup"):
        open_keys(tmp_path)
