from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dozor.infra.references import References, is_reference
from dozor.kernel.errors import SettingsError

TOKEN = "hvs.made-up-token-of-vault"
VERSION_2 = {
    "request_id": "d5c4b7f1-0000-0000-0000-000000000000",
    "lease_id": "",
    "renewable": False,
    "lease_duration": 0,
    "data": {
        "data": {"url": "postgresql://dozor:from-vault@db/dozor", "port": 5432},
        "metadata": {
            "created_time": "2026-11-20T10:00:00.123456789Z",
            "custom_metadata": None,
            "deletion_time": "",
            "destroyed": False,
            "version": 3,
        },
    },
    "wrap_info": None,
    "warnings": None,
    "auth": None,
    "mount_type": "kv",
}
VERSION_1 = {**VERSION_2, "lease_duration": 2_764_800, "data": {"url": "from KV 1"}}
LOGIN = {
    **VERSION_2,
    "data": None,
    "auth": {"client_token": TOKEN, "policies": ["default"], "lease_duration": 3600},
}
AWS = {
    "ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/dozor-AbCdEf",
    "CreatedDate": 1_763_632_800.123,
    "Name": "prod/dozor",
    "SecretString": '{"url": "postgresql://dozor:from-aws@db/dozor", "port": 5432}',
    "VersionId": "5048e0f2-0000-0000-0000-000000000000",
    "VersionStages": ["AWSCURRENT"],
}
AWS_ENVIRON = {
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}


class Keeper:
    """A server of this machine that answers as Vault and AWS were seen to answer."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                keeper.asked.append((self.path, headers, body))
                missing: tuple[int, Mapping[str, Any]] = (404, {"errors": []})
                status, answer = keeper.answers.get(self.path, missing)
                sent = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def complaint(references: References, reference: str) -> str:
    with pytest.raises(SettingsError) as caught:
        references.fetch(reference)
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["file:/a", "file:///a", "env:A", "vault://secret/a#b", "aws:a", "k8s:a/b", "docker:a"]
)
def test_a_reference_is_known_by_its_kind(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize("text", ["http://db", "files:/a", "env:", "file: a", "", "/a/file:b", "10.0.0.0/8"])
def test_other_texts_are_what_they_are(text: str) -> None:
    assert not is_reference(text)


def test_a_file_gives_its_text_without_the_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("пароль с пробелом \r\n".encode())
    references = References({})
    assert references.fetch(f"file:{tmp_path}/password") == "пароль с пробелом "
    assert references.fetch(f"file://{tmp_path}/password") == "пароль с пробелом "


def test_a_file_that_gives_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "raw").write_bytes(b"\xff")
    (tmp_path / "long").write_text("x" * 70_000)
    references = References({})
    assert complaint(references, f"file:{tmp_path}/none").endswith(
        "none cannot be read: No such file or directory"
    )
    assert complaint(references, f"file:{tmp_path}/raw").endswith("raw is no text")
    assert complaint(references, f"file:{tmp_path}/long").endswith("long is too long for a secret")
    assert complaint(references, f"file:{tmp_path}/empty") == "what it refers to is empty"


def test_a_variable_gives_its_value() -> None:
    assert References({"DB": "open sesame"}).fetch("env:DB") == "open sesame"
    assert complaint(References({}), "env:DB") == "the variable DB is not set"


def test_docker_and_kubernetes_mount_secrets_as_files(tmp_path: Path) -> None:
    (tmp_path / "dozor").mkdir()
    (tmp_path / "dozor" / "db-password").write_text("from kubernetes")
    (tmp_path / "db.password").write_text("from docker\n")
    references = References({}, docker=tmp_path, kubernetes=tmp_path)
    assert references.fetch("docker:db.password") == "from docker"
    assert references.fetch("k8s:dozor/db-password") == "from kubernetes"


@pytest.mark.parametrize(
    "text", ["docker:../etc/passwd", "docker:/etc/passwd", "k8s:../shadow", "k8s:a/b/c", "k8s:a", "docker:.."]
)
def test_a_name_cannot_lead_out_of_the_folder_of_secrets(text: str) -> None:
    assert "names no secret" in complaint(References({}), text)


def test_vault_gives_a_field_of_a_secret_and_is_asked_once(keeper: Keeper) -> None:
    keeper.answers["/v1/secret/data/prod/dozor"] = 200, VERSION_2
    references = References({"VAULT_ADDR": keeper.url, "VAULT_TOKEN": TOKEN, "VAULT_NAMESPACE": "team"})
    assert references.fetch("vault:secret/prod/dozor#url") == "postgresql://dozor:from-vault@db/dozor"
    assert references.fetch("vault://secret/prod/dozor#port") == "5432"
    assert len(keeper.asked) == 1
    headers = keeper.asked[0][1]
    assert (headers["x-vault-token"], headers["x-vault-namespace"]) == (TOKEN, "team")
    assert (
        complaint(references, "vault:secret/prod/dozor#pasword")
        == "there is no field pasword; there are port, url"
    )


def test_vault_keeps_secrets_without_versions_too(keeper: Keeper) -> None:
    keeper.answers["/v1/kv/dozor"] = 200, VERSION_1
    references = References({"VAULT_ADDR": keeper.url, "VAULT_TOKEN": TOKEN})
    assert references.fetch("vault:kv/dozor?kv=1#url") == "from KV 1"


def test_vault_is_signed_in_to_by_role(keeper: Keeper, tmp_path: Path) -> None:
    keeper.answers["/v1/secret/data/dozor"] = 200, VERSION_2
    keeper.answers["/v1/auth/approle/login"] = 200, LOGIN
    keeper.answers["/v1/auth/kubernetes/login"] = 200, LOGIN
    account = tmp_path / "kubernetes.io" / "serviceaccount"
    account.mkdir(parents=True)
    (account / "token").write_text("the pod's token\n")
    by_role = {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "secret"}
    for environ, sent in (
        (by_role, {"role_id": "role", "secret_id": "secret"}),
        ({"VAULT_K8S_ROLE": "dozor"}, {"role": "dozor", "jwt": "the pod's token"}),
    ):
        keeper.asked.clear()
        references = References({"VAULT_ADDR": keeper.url, **environ}, kubernetes=tmp_path)
        assert references.fetch("vault:secret/dozor#url")
        assert json.loads(keeper.asked[0][2]) == sent
        assert keeper.asked[1][1]["x-vault-token"] == TOKEN


def test_vault_is_signed_in_to_by_the_token_that_its_command_keeps(keeper: Keeper, tmp_path: Path) -> None:
    keeper.answers["/v1/secret/data/dozor"] = 200, VERSION_2
    environ = {"VAULT_ADDR": keeper.url, "HOME": str(tmp_path)}
    assert "Set VAULT_TOKEN" in complaint(References(environ), "vault:secret/dozor#url")
    (tmp_path / ".vault-token").write_text(TOKEN)
    assert References(environ).fetch("vault:secret/dozor#url")


def test_what_vault_refuses_is_told_in_its_words(keeper: Keeper) -> None:
    keeper.answers["/v1/secret/data/closed"] = 403, {"errors": ["permission denied"]}
    keeper.answers["/v1/secret/data/sealed"] = 503, {"errors": ["Vault is sealed"]}
    references = References({"VAULT_ADDR": keeper.url, "VAULT_TOKEN": TOKEN})
    for name, told in (("closed", "permission denied"), ("sealed", "Vault is sealed"), ("none", "")):
        said = complaint(references, f"vault:secret/{name}#url")
        assert f"Vault at {keeper.url} answers: " in said
        assert told in said
        assert TOKEN not in said
    assert "names no field" in complaint(references, "vault:secret/dozor")
    assert "Set VAULT_ADDR" in complaint(References({}), "vault:secret/dozor#url")
    away = References({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": TOKEN})
    assert (
        complaint(away, "vault:secret/dozor#url") == "Vault at http://127.0.0.1:1 answers: Connection refused"
    )


def test_aws_gives_a_secret_or_a_field_of_it_and_is_asked_once(keeper: Keeper) -> None:
    keeper.answers["/"] = 200, AWS
    references = References({**AWS_ENVIRON, "AWS_ENDPOINT_URL": keeper.url})
    assert references.fetch("aws:prod/dozor#url") == "postgresql://dozor:from-aws@db/dozor"
    assert references.fetch("aws:prod/dozor") == AWS["SecretString"]
    assert len(keeper.asked) == 1
    _path, headers, body = keeper.asked[0]
    assert json.loads(body) == {"SecretId": "prod/dozor"}
    assert headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert "x-amz-security-token" not in headers


def test_aws_gets_a_signature_that_holds(keeper: Keeper) -> None:
    keeper.answers["/"] = 200, AWS
    session = {"AWS_SESSION_TOKEN": "made-up-session"}
    References({**AWS_ENVIRON, **session, "AWS_ENDPOINT_URL_SECRETS_MANAGER": keeper.url}).fetch(
        "aws:prod/dozor"
    )
    _path, headers, body = keeper.asked[0]
    assert headers["x-amz-security-token"] == "made-up-session"
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8}/eu-central-1/secretsmanager/aws4_request), "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers["authorization"],
    )
    assert found is not None
    scope, names, signature = found.groups()
    assert {"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} <= set(names.split(";"))
    assert signature == signature_v4(scope, names, headers, body)


def signature_v4(scope: str, names: str, headers: Mapping[str, str], body: bytes) -> str:
    """The signature as AWS describes it, for a POST of `/`."""
    canonical = "\n".join(
        (
            *("POST", "/", "", *(f"{name}:{headers[name]}" for name in names.split(";"))),
            *("", names, hashlib.sha256(body).hexdigest()),
        )
    )
    text = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = b"AWS4" + AWS_ENVIRON["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def test_aws_gives_bytes_as_text(keeper: Keeper) -> None:
    keeper.answers["/"] = 200, {"Name": "raw", "SecretBinary": "b3BlbiBzZXNhbWU="}
    assert References({**AWS_ENVIRON, "AWS_ENDPOINT_URL": keeper.url}).fetch("aws:raw") == "open sesame"


def test_what_aws_refuses_is_told_in_its_words(keeper: Keeper) -> None:
    environ = {**AWS_ENVIRON, "AWS_ENDPOINT_URL": keeper.url}
    keeper.answers["/"] = (
        400,
        {"__type": "ResourceNotFoundException", "Message": "Secrets Manager can't find it."},
    )
    assert complaint(References(environ), "aws:none") == (
        f"AWS at {keeper.url} answers: ResourceNotFoundException: Secrets Manager can't find it"
    )
    keeper.answers["/"] = 200, {**AWS, "SecretString": "plain"}
    assert complaint(References(environ), "aws:a#b") == "the secret is not JSON, so it has no fields"
    away = References({**environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert complaint(away, "aws:a") == "AWS at http://127.0.0.1:1 answers: Connection refused"
    assert "Set AWS_REGION" in complaint(References({}), "aws:a")


def test_a_missing_extra_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hvac", None)
    monkeypatch.setitem(__import__("sys").modules, "awscrt", None)
    assert "pip install 'dozor[vault]'" in complaint(References({}), "vault:secret/dozor#url")
    assert "pip install 'dozor[aws]'" in complaint(References(AWS_ENVIRON), "aws:a")
