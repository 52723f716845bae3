"""Syslog and standard input: each message becomes a line, and what was received outlives the process."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dozor.features.traffic.adapters import syslog
from dozor.features.traffic.adapters.rotation import identity
from dozor.features.traffic.adapters.spool import Spool
from dozor.features.traffic.adapters.stdin import StdinSource
from dozor.features.traffic.adapters.syslog import Protocol, SyslogSource, cut_frames, read_message
from dozor.features.traffic.model import Arrival, Followed, Mark
from dozor.features.traffic.ports import LiveSource
from dozor.kernel.errors import JobError
from tests.unit.traffic.live import line, lines, take_all, text, wait_for

ERROR = b"2026/11/22 10:00:00 [error] 7#7: *1 open() failed, client: 198.51.100.7"


def framed(number: int) -> bytes:
    return b"<190>Nov 22 10:00:00 web1 nginx: " + line(number).rstrip()


@pytest.mark.parametrize(
    ("message", "tag", "content"),
    [
        (b"<190>Nov 22 10:00:00 web1 nginx: GET /", "nginx", b"GET /"),
        (b"<190>Nov  2 10:00:00 web1 nginx: GET /\n", "nginx", b"GET /"),
        (b"<190>Nov 22 10:00:00 nginx: a: b", "nginx", b"a: b"),  # nohostname
        (b"<190>Nov 22 10:00:00 web1 my_app[71]: hi", "my_app", b"hi"),
        (b"<190>1 2026-11-22T10:00:00Z web1 nginx 7 - - GET /", "nginx", b"GET /"),
        (b'<190>1 - - nginx - - [a b="]\\""][c] \xef\xbb\xbfGET /', "nginx", b"GET /"),
        (b"<187>Nov 22 10:00:00 web1 nginx: " + ERROR, "nginx-error", ERROR),
        (b"<190>nonsense", "other", b"nonsense"),
        (line(1), "other", line(1).rstrip()),
        (b"<190>Nov 22 10:00:00 web1 app: two\nlines\r\n", "app", b"two\\x0Alines"),
        (b"<190>Nov 22 10:00:00 web1 app: ", "app", b""),
    ],
)
def test_a_message_is_taken_apart(message: bytes, tag: str, content: bytes) -> None:
    assert read_message(message) == (tag, content)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_are_cut_wherever_reads_end(size: int) -> None:
    messages = [framed(1), b"<14>b: " + b"x" * 300, line(3).rstrip(), b"<14>d: in\nit"]
    stream = messages[0] + b"\n" + b"%d %s" % (len(messages[1]), messages[1]) + messages[2] + b"\n"
    stream += b"%d %s" % (len(messages[3]), messages[3])
    found: list[bytes] = []
    rest = b""
    for place in range(0, len(stream), size):
        frames, rest = cut_frames(rest + stream[place : place + size])
        found += frames
    assert (found, rest) == (messages, b"")


@pytest.mark.parametrize("data", [b"x" * 300, b"300 " + b"x", b"12345 x"])
def test_a_message_that_is_too_long_is_told(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "LONGEST_MESSAGE", 200)
    with pytest.raises(ValueError, match=r"\d"):
        cut_frames(data)


@pytest.fixture(params=["udp", "tcp"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return "udp" if request.param == "udp" else "tcp"


@pytest.fixture
def source(protocol: Protocol, tmp_path: Path) -> Iterator[SyslogSource]:
    opened = SyslogSource(protocol, "127.0.0.1", 0, spool=tmp_path)
    opened.open([])
    yield opened
    opened.close()


def send(protocol: Protocol, port: int, messages: list[bytes]) -> None:
    if protocol == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message, ("127.0.0.1", port))
    else:
        with socket.create_connection(("127.0.0.1", port)) as sender:
            sender.sendall(b"\n".join(messages) + b"\n")


def received(source: LiveSource, size: int) -> list[Arrival]:
    found: list[Arrival] = []

    def is_all() -> bool:
        found.extend(take_all(source))
        return len(text(found)) >= size

    wait_for(is_all)
    return found


def test_what_is_sent_arrives_as_lines_in_a_log_by_tag(source: SyslogSource, protocol: Protocol) -> None:
    send(protocol, source.port, [*map(framed, range(100)), b"<187>Nov 22 10:00:00 web1 nginx: " + ERROR])
    found = received(source, len(lines(0, 100)) + len(ERROR) + 1)
    name = f"syslog:{protocol}:127.0.0.1:0"
    by_log = {arrival.mark.name: bytes(arrival.data) for arrival in found}
    assert by_log == {f"{name}/nginx": lines(0, 100), f"{name}/nginx-error": ERROR + b"\n"}
    assert {log.name for log in source.followed()} == set(by_log)


def test_what_was_received_but_not_stored_comes_after_the_next_start(
    protocol: Protocol, tmp_path: Path
) -> None:
    first = SyslogSource(protocol, "127.0.0.1", 0, spool=tmp_path)
    first.open([])
    send(protocol, first.port, list(map(framed, range(10))))
    received(first, len(lines(0, 10)))
    send(protocol, first.port, list(map(framed, range(10, 20))))
    first.close()  # takes what is there, and nothing of it was stored
    second = SyslogSource(protocol, "127.0.0.1", 0, spool=tmp_path)
    second.open([])
    assert text(received(second, len(lines(0, 20)))) == lines(0, 20)
    second.close()


def test_an_address_in_use_is_told(source: SyslogSource, protocol: Protocol, tmp_path: Path) -> None:
    other = SyslogSource(protocol, "127.0.0.1", source.port, spool=tmp_path)
    with pytest.raises(JobError, match=f"cannot be received on 127.0.0.1:{source.port}") as caught:
        other.open([])
    assert "ss -lnp" in caught.value.hint


def test_a_sender_by_tcp_waits_while_nothing_can_be_kept(tmp_path: Path) -> None:
    source = SyslogSource("tcp", "127.0.0.1", 0, spool=tmp_path / "spool")
    source.open([])
    (tmp_path / "spool" / "syslog-tcp-127_0_0_1-0").parent.mkdir(exist_ok=True)
    folder = tmp_path / "spool" / "syslog-tcp-127.0.0.1-0"
    folder.write_bytes(b"in the way")
    send("tcp", source.port, [framed(1)])
    wait_for(lambda: source.followed()[0].reason)
    folder.unlink()
    assert text(received(source, len(line(1)))) == line(1)
    assert source.followed()[0].reason == ""
    source.close()


def test_a_spool_is_cut_into_files_and_stored_ones_are_deleted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "stdin", segment=2000)
    reading, writing = os.pipe()
    source = StdinSource(tmp_path, descriptor=reading)
    source.open([])
    for number in range(100):
        spool.write({"stdin": line(number)})
    assert len(list((tmp_path / "stdin").iterdir())) > 3
    got: list[Arrival] = []

    def is_stored() -> bool:
        got.extend(take_all(source))
        for arrival in got:
            source.stored(arrival.after)
        return len(list((tmp_path / "stdin").iterdir())) <= 1

    wait_for(is_stored)
    assert text(got) == lines(0, 100)
    os.close(writing)
    source.close()
    spool.close()
    os.close(reading)


def test_a_full_spool_of_many_logs_takes_more_once_they_are_stored(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "stdin", most=3000)
    reading, writing = os.pipe()
    source = StdinSource(tmp_path, descriptor=reading)
    source.open([])
    for name in "abc":
        spool.write({name: lines(0, 12)})
    assert not spool.takes()

    def takes() -> bool:
        for arrival in take_all(source):
            source.stored(arrival.after)
        return spool.takes()

    wait_for(takes)
    os.close(writing)
    source.close()
    spool.close()
    os.close(reading)


@pytest.mark.parametrize(
    ("content", "kept"), [(lines(0, 3), False), (lines(1, 3), True), (lines(0, 4), True)]
)
def test_a_stored_file_that_a_killed_process_left_is_deleted_and_no_other_with_its_identity(
    tmp_path: Path, *, content: bytes, kept: bool
) -> None:
    closed = tmp_path / "stdin" / "stdin.log.1"
    closed.parent.mkdir()
    closed.write_bytes(content)
    device, inode = identity(closed.stat())
    size, head = len(lines(0, 3)), hashlib.blake2b(lines(0, 3), digest_size=16).hexdigest()
    mark = Mark("stdin", "1", "-", device, inode, size, head, offset=size, finished=True)
    reading, writing = os.pipe()
    source = StdinSource(tmp_path, descriptor=reading)
    source.open([mark])
    source.close()
    assert closed.exists() is kept
    os.close(reading)
    os.close(writing)


def test_a_folder_whose_name_looks_like_a_pattern_is_none(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    source = StdinSource(tmp_path / "[ab]*", descriptor=reading)
    source.open([])
    os.write(writing, line(1))
    assert text(received(source, len(line(1)))) == line(1)
    source.close()
    os.close(writing)
    os.close(reading)


def test_a_receiver_that_broke_is_told(tmp_path: Path) -> None:
    source = StdinSource(tmp_path, descriptor=os.open(tmp_path, os.O_RDONLY))  # a folder cannot be read
    source.open([])
    wait_for(lambda: source.followed()[0].reason)
    assert source.followed()[0].reason.startswith("IsADirectoryError")
    source.close()


def test_to_close_takes_all_that_is_there(
    protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_AT_ONCE", 5)
    monkeypatch.setattr(syslog, "_READ", 500)
    source = SyslogSource(protocol, "127.0.0.1", 0, spool=tmp_path)
    source.open([])
    send(protocol, source.port, [framed(0)])
    received(source, len(line(0)))  # it is connected by now
    send(protocol, source.port, list(map(framed, range(1, 100))))
    if protocol == "tcp":
        wait_for(lambda: b"/n/5 " in b"".join(path.read_bytes() for path in tmp_path.rglob("*.log")))
    source.close()
    (kept,) = tmp_path.rglob("nginx.log")
    assert kept.read_bytes() == lines(0, 100)


def test_standard_input_is_followed_until_it_ends(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    source = StdinSource(tmp_path, descriptor=reading)
    source.open([])
    os.write(writing, lines(0, 5) + line(5)[:10])
    assert text(received(source, len(lines(0, 5)))) == lines(0, 5)
    os.write(writing, line(5)[10:-1])
    os.close(writing)
    assert text(received(source, len(line(5)))) == line(5)
    source.scan()
    size = len(lines(0, 6))
    assert source.followed() == [Followed("-", offset=size, size=size)]
    source.close()
    os.close(reading)


def test_a_line_that_was_cut_off_by_a_crash_is_not_joined_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "nginx.log").write_bytes(line(1)[:10])
    spool = Spool(tmp_path)
    spool.write({"nginx": line(2)})
    spool.close()
    assert (tmp_path / "nginx.log").read_bytes() == line(1)[:10] + b"\n" + line(2)


def test_names_of_senders_are_safe_and_few(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(100):
        spool.write({f"../{number}": b"x\n"})
    spool.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) <= 33
    assert "other.log" in names
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


def test_no_thread_is_left(source: SyslogSource) -> None:
    source.close()
    assert not [thread for thread in threading.enumerate() if "syslog" in thread.name]
