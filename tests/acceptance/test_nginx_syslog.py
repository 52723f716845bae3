"""A real nginx that logs by syslog: every request and every error becomes a row."""

from __future__ import annotations

import http.client
from collections import Counter
from pathlib import Path

from dozor.features.traffic.adapters.checkpoint_memory import InMemoryCheckpoints
from dozor.features.traffic.adapters.syslog import SyslogSource
from dozor.features.traffic.service.live import LiveIngest
from tests.acceptance.nginx import Nginx, free_port
from tests.unit.traffic.live import PLAIN_PIPELINE, CountingStore, running, wait_for


def test_nginx_sends_requests_and_errors_by_syslog(tmp_path: Path) -> None:
    port, store = free_port(), CountingStore()
    server = f"syslog:server=127.0.0.1:{port},tag=shop"
    source = SyslogSource("udp", "127.0.0.1", port, spool=tmp_path / "spool")
    ingest = LiveIngest([source], PLAIN_PIPELINE, store, InMemoryCheckpoints())
    more = f"access_log {server} main; error_log {server} warn;"
    with running(ingest), Nginx(tmp_path / "nginx", more=more) as nginx:
        wait_for(lambda: ingest.status()[0].state == "following")
        for number in range(60):
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port)
            connection.request("GET", f"/{'missing' if number % 3 else 'ok'}/{number}?a=b:%20c")
            assert connection.getresponse().status == (404 if number % 3 else 200)
            connection.close()
        wait_for(lambda: len(store.values()) >= 60 and len(store.values("message", table="errors")) >= 40)
        assert {status.name: status.format for status in ingest.status()} == {
            f"{source.name}/shop": "main",
            f"{source.name}/shop-error": "nginx-error",
        }
    paths = Counter(path.rsplit("/", 1)[1] for path in store.values())
    assert paths == Counter(str(number) for number in range(60))
    assert all("failed (2: No such file" in text for text in store.values("message", table="errors"))
    assert store.values("raw", table="rejects") == []
