"""Secrets that settings only refer to: where each is kept, and how it is fetched from there.

    file:/run/db-password           a file's text, without the line break at its end
    env:DB_PASSWORD                 another variable, of the environment or of .env
    docker:db-password              Docker secret: /run/secrets/db-password
    k8s:dozor/db-password           Kubernetes secret, mounted at /var/run/secrets/dozor/db-password
    vault:secret/dozor#url          HashiCorp Vault, engine KV 2 at `secret`; `?kv=1` for KV 1 (extra `vault`)
    aws:prod/dozor#url              AWS Secrets Manager; without `#` the whole secret (extra `aws`)

Vault is found and asked as its own command is: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT, and VAULT_TOKEN or
~/.vault-token, or VAULT_ROLE_ID with VAULT_SECRET_ID (AppRole), or VAULT_K8S_ROLE (the pod's own account).
AWS by AWS_REGION and the usual chain of credentials: variables, profile, container, machine.

Sources: Vault HTTP API, secret/kv; AWS Signature Version 4; AWS Secrets Manager, GetSecretValue.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import _
from dozor.kernel.masking import mask

DOCKER: Final = Path("/run/secrets")
KUBERNETES: Final = Path("/var/run/secrets")

_REFERENCE: Final = re.compile(r"(file|env|docker|k8s|vault|aws):(?://)?(\S.*)", re.DOTALL)
_NAME: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,253}")
_LONGEST: Final = 65_536
_TIMEOUT_S: Final = 5.0
_POD_TOKEN: Final = Path("kubernetes.io/serviceaccount/token")


def is_reference(text: str) -> bool:
    """Tell whether a setting's text refers to a secret that is kept elsewhere."""
    return _REFERENCE.fullmatch(text) is not None


class References:
    """Fetches what references refer to; asks Vault and AWS for each secret once.

    Args:
        environ: Variables, those of `.env` included.
        docker: Folder of Docker's secrets.
        kubernetes: Folder below which Kubernetes mounts secrets.
        fetched: What Vault and AWS gave before.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        docker: Path = DOCKER,
        kubernetes: Path = KUBERNETES,
        fetched: MutableMapping[str, Any] | None = None,
    ) -> None:
        self._environ = environ
        self._docker = docker
        self._kubernetes = kubernetes
        self._fetched: MutableMapping[str, Any] = {} if fetched is None else fetched
        self._kinds: Mapping[str, Callable[[str], str]] = {
            "file": lambda rest: _of_file(Path(rest)),
            "env": self._of_variable,
            "docker": lambda rest: _of_file(_below(self._docker, rest, parts=1)),
            "k8s": lambda rest: _of_file(_below(self._kubernetes, rest, parts=2)),
            "vault": self._of_vault,
            "aws": self._of_aws,
        }

    def fetch(self, reference: str) -> str:
        """What it refers to.

        Args:
            reference: One for which `is_reference` holds.

        Raises:
            SettingsError: It is not there, may not be read, or its keeper is away.
        """
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise SettingsError(_("'{text}' refers to nothing.").format(text=mask(reference)))
        secret = self._kinds[found[1]](found[2])
        if not secret:
            raise SettingsError(_("what it refers to is empty"))
        return secret

    def _of_variable(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            raise SettingsError(_("the variable {name} is not set").format(name=name))
        return value

    def _of_vault(self, rest: str) -> str:
        place, field = _split(rest)
        if not field:
            raise SettingsError(
                _("it names no field"),
                hint=_("Write vault:MOUNT/PATH#FIELD, such as vault:secret/dozor#url."),
            )
        known = f"vault:{place}"
        if known not in self._fetched:
            self._fetched[known] = _ask_vault(place, self._environ, self._kubernetes)
        return _field(self._fetched[known], field)

    def _of_aws(self, rest: str) -> str:
        name, field = _split(rest)
        known = f"aws:{name}"
        if known not in self._fetched:
            self._fetched[known] = _ask_aws(name, self._environ)
        found = self._fetched[known]
        if not field:
            return str(found)
        try:
            fields = json.loads(str(found))
        except ValueError as error:
            raise SettingsError(_("the secret is not JSON, so it has no fields")) from error
        return _field(fields, field)


def _split(rest: str) -> tuple[str, str]:
    place, _hash, field = rest.partition("#")
    return place.strip("/"), field


def _field(fields: object, name: str) -> str:
    if not isinstance(fields, Mapping) or name not in fields:
        known = ", ".join(sorted(map(str, fields))) if isinstance(fields, Mapping) else "-"
        raise SettingsError(_("there is no field {name}; there are {known}").format(name=name, known=known))
    value = fields[name]
    return value if isinstance(value, str) else json.dumps(value)


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
        text = raw.decode()
    except OSError as error:
        raise SettingsError(
            _("the file {path} cannot be read: {reason}").format(path=path, reason=error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(_("the file {path} is no text").format(path=path)) from error
    if len(raw) > _LONGEST:
        raise SettingsError(_("the file {path} is too long for a secret").format(path=path))
    return text.rstrip("\r\n")


def _below(folder: Path, rest: str, *, parts: int) -> Path:
    names = rest.split("/")
    if len(names) != parts or not all(_NAME.fullmatch(name) for name in names):
        raise SettingsError(
            _("'{name}' names no secret").format(name=rest),
            hint=_("Write docker:NAME or k8s:SECRET/KEY; for another place file:/PATH."),
        )
    return folder.joinpath(*names)


def _ask_vault(place: str, environ: Mapping[str, str], kubernetes: Path) -> Mapping[str, Any]:
    try:
        import hvac  # noqa: PLC0415 - an extra
        from hvac.exceptions import VaultError  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415 - comes with it
    except ImportError as error:
        raise _no_extra("vault") from error
    path, _mark, query = place.partition("?")
    mount, _slash, name = path.partition("/")
    address = environ.get("VAULT_ADDR", "")
    if not address:
        raise SettingsError(_("nobody said where Vault is"), hint=_("Set VAULT_ADDR."))
    client = hvac.Client(
        url=address,
        namespace=environ.get("VAULT_NAMESPACE") or None,
        verify=environ.get("VAULT_CACERT") or True,
        timeout=_TIMEOUT_S,
    )
    try:
        client.token = _vault_token(client, environ, kubernetes)
        if parse_qs(query).get("kv") == ["1"]:
            answer = client.secrets.kv.v1.read_secret(name, mount_point=mount)
            return dict(answer["data"])
        answer = client.secrets.kv.v2.read_secret_version(
            name, mount_point=mount, raise_on_deleted_version=True
        )
        return dict(answer["data"]["data"])
    except (VaultError, RequestException) as error:
        raise SettingsError(
            _("Vault at {address} answers: {reason}").format(address=mask(address), reason=_plainly(error))
        ) from error
    finally:
        client.adapter.close()


def _vault_token(client: Any, environ: Mapping[str, str], kubernetes: Path) -> str:
    token = environ.get("VAULT_TOKEN", "")
    if token:
        return token
    role_id, secret_id = environ.get("VAULT_ROLE_ID", ""), environ.get("VAULT_SECRET_ID", "")
    if role_id:
        return str(client.auth.approle.login(role_id, secret_id)["auth"]["client_token"])
    role = environ.get("VAULT_K8S_ROLE", "")
    if role:
        account = _of_file(kubernetes / _POD_TOKEN)
        return str(client.auth.kubernetes.login(role, account)["auth"]["client_token"])
    kept = Path(environ.get("HOME", "~")).expanduser() / ".vault-token"
    if kept.is_file():
        return _of_file(kept)
    raise SettingsError(
        _("nobody said how to sign in to Vault"),
        hint=_("Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_K8S_ROLE."),
    )


def _ask_aws(name: str, environ: Mapping[str, str]) -> str:
    import httpx  # noqa: PLC0415 - who refers to AWS pays for it

    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _region_of(name)
    if not region:
        raise SettingsError(_("nobody said in which region of AWS it is"), hint=_("Set AWS_REGION."))
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = (
        environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        or environ.get("AWS_ENDPOINT_URL")
        or f"https://secretsmanager.{region}.{suffix}"
    )
    body = json.dumps({"SecretId": name}).encode()
    headers = _signed(urlsplit(url).netloc, body, region, environ)
    try:
        answer = httpx.post(url.rstrip("/") + "/", content=body, headers=headers, timeout=_TIMEOUT_S)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SettingsError(
            _("AWS at {address} answers: {reason}").format(address=mask(url), reason=_plainly(error))
        ) from error
    if answer.is_error:
        kind = str(said.get("__type", answer.status_code)).rpartition("#")[2]
        text = said.get("Message") or said.get("message") or ""
        raise SettingsError(
            _("AWS at {address} answers: {reason}").format(
                address=mask(url), reason=mask(f"{kind}: {text}".rstrip(": ."))
            )
        )
    if "SecretString" in said:
        return str(said["SecretString"])
    try:
        return base64.b64decode(said.get("SecretBinary", "")).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SettingsError(_("the secret is no text")) from error


def _region_of(name: str) -> str:
    """The region in `arn:aws:secretsmanager:REGION:...`; empty for a plain name."""
    parts = name.split(":")
    return parts[3] if name.startswith("arn:") and len(parts) > 3 else ""  # noqa: PLR2004 - its place there


def _signed(host: str, body: bytes, region: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Headers of a call with AWS Signature Version 4."""
    try:
        from awscrt import auth, http, io  # noqa: PLC0415 - an extra
        from awscrt.exceptions import AwsCrtError  # noqa: PLC0415
    except ImportError as error:
        raise _no_extra("aws") from error
    key_id, key = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    credentials = (
        auth.AwsCredentialsProvider.new_static(key_id, key, environ.get("AWS_SESSION_TOKEN") or None)
        if key_id and key
        else auth.AwsCredentialsProvider.new_default_chain()
    )
    headers = http.HttpHeaders(
        [
            ("Host", host),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", "secretsmanager.GetSecretValue"),
        ]
    )
    request = http.HttpRequest("POST", "/", headers, io.InputStream(BytesIO(body)))
    signing = auth.AwsSigningConfig(
        credentials_provider=credentials,
        region=region,
        service="secretsmanager",
        date=datetime.now(UTC),
    )
    try:
        signed = auth.aws_sign_request(request, signing).result(_TIMEOUT_S)
    except (AwsCrtError, TimeoutError) as error:
        raise SettingsError(
            _("there are no credentials for AWS: {reason}").format(reason=_plainly(error)),
            hint=_("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role."),
        ) from error
    return dict(signed.headers)


def _no_extra(name: str) -> SettingsError:
    return SettingsError(
        _("the extra {name} is not installed").format(name=name),
        hint=_("Install it by: pip install 'dozor[{name}]'").format(name=name),
    )


def _plainly(error: BaseException) -> str:
    """A failure of a library in one line, without what it wraps around."""
    text = str(error).partition("\n")[0]
    # What requests and httpx wrap around the plain reason.
    text = re.sub(r"^.*(?:\[Errno -?\d+\] |Failed to establish a new connection: )", "", text)
    return mask(text[:300]).strip("'\")., ") or type(error).__name__
