"""The program's settings: one typed tree, read from the environment, `.env` and a YAML file.

What is said last wins: default, YAML file, `.env`, environment, command line. A setting's variable is its
place in the tree, `DOZOR_TRAFFIC__WORKERS` for `traffic.workers`, unless the field names another.

A text may refer to a secret that is kept elsewhere, `file:/run/db-password` (`infra.references`). `.env` must
be closed to other users.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin
from urllib.parse import unquote, urlsplit

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dozor.features.access.settings import AccessSettings
from dozor.features.threats.settings import ThreatsSettings
from dozor.features.traffic.settings import TrafficSettings
from dozor.infra.admission import DoorSettings, LimitsSettings
from dozor.infra.logging import LogFormat
from dozor.infra.references import References, is_reference
from dozor.infra.settings import CacheSettings, DatabaseSettings
from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import N_, _
from dozor.kernel.masking import MASK, hide, mask

YAML_FILE = Path("dozor.yaml")
ENV_FILE = Path(".env")
ENVIRONMENT = N_("environment")
DEFAULT = N_("default")
OPTION = N_("option")

_ADVICE = {
    "bool_parsing": N_("use true or false"),
    "bool_type": N_("use true or false"),
    "dict_type": N_("use pairs, in a variable name=value,name=value"),
    "greater_than_equal": N_("use {ge} or more"),
    "int_from_float": N_("use a whole number"),
    "int_parsing": N_("use a whole number"),
    "int_type": N_("use a whole number"),
    "ip": N_("use an address or a network such as 10.0.0.0/8"),
    "less_than_equal": N_("use {le} or less"),
    "list_type": N_("use a list, in a variable a,b"),
    "literal_error": N_("use one of {expected}"),
    "value_error": N_("use limits such as 100/minute; 1000/hour"),
    "string_too_long": N_("use {max_length} characters or fewer"),
}
"""The way out by Pydantic's kind of error; a kind that is missing here is told in Pydantic's words."""

_OTHERS = 0o077

Place = tuple[str, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


def _lowered(text: object) -> object:
    """Other programs share the variable LOG_LEVEL, and many of them want it in capitals."""
    return text.lower() if isinstance(text, str) else text


class Settings(BaseModel):
    """Every setting of the program; each feature brings its own branch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: Literal["en", "ru"] | None = Field(
        None, description=N_("Language of texts; without it the locale decides.")
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lowered)
    ] = Field(
        "warning",
        description=N_("Least severity that is logged."),
        json_schema_extra={"variable": "LOG_LEVEL"},
    )
    log_format: LogFormat = Field("text", description=N_("Form of log lines: text or json."))
    log_dir: Path | None = Field(
        None,
        description=N_(
            "Folder for log files: app.log, and error.log for errors alone; "
            "without it, log lines go to standard error only."
        ),
        json_schema_extra={"variable": "LOG_DIR"},
    )
    log_max_mb: int = Field(
        10, ge=0, le=10_000, description=N_("Size in MiB at which a log file is rotated; 0 never.")
    )
    log_backups: int = Field(10, ge=0, le=1000, description=N_("Rotated log files that are kept."))
    logging: dict[str, Any] = Field(
        {},
        description=N_(
            "Logging in the form of Python's logging.config, version 1, in place of the settings above."
        ),
    )
    host: str = Field(
        "127.0.0.1",
        description=N_("Address to serve on; beyond this machine it needs door.host_names."),
        json_schema_extra={"variable": "HOST"},
    )
    port: int = Field(
        5000,
        ge=0,
        le=65535,
        description=N_("Port to serve on; 0 takes a free one."),
        json_schema_extra={"variable": "PORT"},
    )
    data_dir: Path | None = Field(
        None,
        description=N_(
            "Folder of all state. Without it /var/lib/dozor for root, else dozor in XDG_DATA_HOME "
            "or ~/.local/share."
        ),
        json_schema_extra={"variable": "DATA_DIR"},
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, description=N_("Seconds that everything may take to finish when it is told to stop.")
    )
    secret_key: SecretStr | None = Field(
        None,
        description=N_(
            "Secret of at least 32 characters from which all keys are made; "
            "without it secret.key in the data folder, which is made at the first start."
        ),
        json_schema_extra={"variable": "SECRET_KEY"},
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    door: DoorSettings = Field(default_factory=DoorSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    traffic: TrafficSettings = Field(default_factory=TrafficSettings)
    threats: ThreatsSettings = Field(default_factory=ThreatsSettings)


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the tree: where it stands and what it is called outside."""

    place: Place
    field: FieldInfo

    @property
    def key(self) -> str:
        """Its dotted name, as in YAML: `traffic.workers`."""
        return ".".join(self.place)

    @property
    def variable(self) -> str:
        """Its environment variable: `DOZOR_TRAFFIC__WORKERS`."""
        extra = self.field.json_schema_extra
        named = extra.get("variable") if isinstance(extra, dict) else None
        return str(named or "DOZOR_" + "__".join(self.place).upper())

    @property
    def help(self) -> str:
        """What it is for, in English: the message id."""
        if not self.field.description:
            raise TypeError(f"The setting {self.key} lacks a description.")
        return self.field.description

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        types = {self.field.annotation, *get_args(self.field.annotation)}
        return bool(types & {SecretStr, SecretBytes})

    def of(self, tree: object) -> Any:
        """Its value in a tree of settings or of mappings; None where there is none."""
        for step in self.place:
            tree = tree.get(step) if isinstance(tree, Mapping) else getattr(tree, step, None)
        return tree

    @property
    def container(self) -> type | None:
        """`list` or `dict` when it holds several values, else None."""
        origin = get_origin(self.field.annotation)
        return origin if origin in (list, dict) else None


@dataclass(slots=True)
class Given:
    """The values that somebody gave, and where: the source's name, and the name used there."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, tuple[str, str]] = field(default_factory=dict)
    referred: dict[Place, str] = field(default_factory=dict)

    def put(self, place: Place, value: object, name: str, source: str) -> None:
        """Note one value; a later one for the same place wins."""
        branch = self.values
        for step in place[:-1]:
            branch = branch.setdefault(step, {})
        branch[place[-1]] = value
        self.origins[place] = (name, source)
        self.referred.pop(place, None)

    def fetch(self, places: Iterable[Place], references: References) -> None:
        """Put what values at `places` refer to in their place.

        Raises:
            SettingsError: Something cannot be had; names the setting and what it refers to.
        """
        for place in places:
            branch = self.values
            for step in place[:-1]:
                branch = branch[step]
            told = branch[place[-1]]
            shown = [text for text in _texts(told) if is_reference(text)]
            if shown:
                branch[place[-1]] = self._fetched(told, place, references)
                self.referred[place] = ", ".join(shown)

    def _fetched(self, value: Any, place: Place, references: References) -> Any:
        if isinstance(value, list):
            return [self._fetched(item, place, references) for item in value]
        if isinstance(value, dict):
            return {name: self._fetched(item, place, references) for name, item in value.items()}
        if not isinstance(value, str) or not is_reference(value):
            return value
        try:
            return references.fetch(value)
        except SettingsError as error:
            name, source = self.origins[place]
            raise SettingsError(
                _("{name} ({source}) refers to {reference}: {reason}.").format(
                    name=name, source=source_text(source), reference=mask(value), reason=error.message
                ),
                hint=error.hint,
            ) from error


@dataclass(frozen=True, slots=True)
class Loaded(Generic[ModelT]):
    """Settings and where each came from.

    Args:
        settings: The tree.
        origins: Name and source by place; a place that is missing holds its default.
        referred: What the values of these places were fetched from.
        references: Fetches what options refer to.
    """

    settings: ModelT
    origins: Mapping[Place, tuple[str, str]]
    referred: Mapping[Place, str] = field(default_factory=dict)
    references: References = field(default_factory=lambda: References({}), repr=False)

    def overridden(
        self, options: Mapping[str, object], called: Mapping[str, str] | None = None
    ) -> Loaded[ModelT]:
        """These settings, but the options that were given on the command line (not None) win.

        Args:
            options: Values by the setting's dotted name.
            called: Names of options that are not the last part of the setting's name, by dotted name.

        Raises:
            SettingsError: A value is of no use.
        """
        given = Given(self.settings.model_dump(), dict(self.origins), dict(self.referred))
        places = []
        for key, value in options.items():
            if value is not None:
                place = tuple(key.split("."))
                name = (called or {}).get(key) or "--" + place[-1].replace("_", "-")
                given.put(place, value, name, OPTION)
                places.append(place)
        given.fetch(places, self.references)
        settings = _validated(type(self.settings), given)
        return Loaded(settings, given.origins, given.referred, self.references)


def leaves(model: type[BaseModel], place: Place = ()) -> Iterator[Setting]:
    """Yield every setting below `model`, in the order of their definition."""
    for name, info in model.model_fields.items():
        branch = info.annotation
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            yield from leaves(branch, (*place, name))
        else:
            yield Setting((*place, name), info)


def load(
    model: type[ModelT],
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    folder: Path = Path(),
    fetched: MutableMapping[str, Any] | None = None,
) -> Loaded[ModelT]:
    """Read the settings tree `model`.

    Args:
        model: The tree, usually `Settings`.
        environ: The environment.
        config: YAML file; when None, `DOZOR_CONFIG` names it, else `dozor.yaml` is read if it exists.
        folder: Where `.env` and `dozor.yaml` are looked for.
        fetched: Secrets that Vault and AWS gave before: they are not asked again.

    Raises:
        SettingsError: A file cannot be read, `.env` is open to others, a key is unknown, a secret cannot be
            fetched, or values are of no use; names them all.
    """
    known = list(leaves(model))
    given = Given()
    from_file = env_file(folder / ENV_FILE, known)
    _take_yaml(given, model, _yaml_path(environ, config, folder))
    _take_variables(given, known, from_file, str(ENV_FILE))
    _take_variables(given, known, environ, ENVIRONMENT)
    references = References({**from_file, **environ}, fetched=fetched)
    given.fetch(list(given.origins), references)
    return Loaded(_validated(model, given), given.origins, given.referred, references)


def _validated(model: type[ModelT], given: Given) -> ModelT:
    try:
        settings = model.model_validate(given.values)
    except ValidationError as error:
        secret = {setting.place for setting in leaves(model) if setting.is_secret} | given.referred.keys()
        faults = [_fault(detail, given, secret) for detail in error.errors(include_url=False)]
        raise SettingsError("; ".join(dict.fromkeys(faults)) + ".") from error
    for setting in leaves(model):
        if setting.is_secret:
            _hide(setting.of(settings))
    return settings


def _hide(value: object) -> None:
    """Let no log and no message show these secrets, whatever stands around them."""
    for secret in value if isinstance(value, list) else [value]:
        text = secret.get_secret_value() if isinstance(secret, SecretStr) else ""
        # Of an address the password alone is secret.
        password = urlsplit(text).password if "://" in text else text
        for form in {password or "", unquote(password or "")}:
            hide(form)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def source_text(source: str) -> str:
    """Return a source as people read it: a file stays a file, the others have names."""
    return _(source) if source in {ENVIRONMENT, DEFAULT, OPTION} else source


def _yaml_path(environ: Mapping[str, str], config: Path | None, folder: Path) -> Path | None:
    named = config or (Path(environ["DOZOR_CONFIG"]) if environ.get("DOZOR_CONFIG") else None)
    if named and not named.is_file():
        raise SettingsError(
            _("Settings file '{path}' is not there.").format(path=named),
            hint=_("Name another with --config or DOZOR_CONFIG."),
        )
    default = folder / YAML_FILE
    return named or (default if default.is_file() else None)


def _take_yaml(given: Given, model: type[BaseModel], path: Path | None) -> None:
    if path is None:
        return
    try:
        tree = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(
            _("Settings file '{path}' cannot be read: {reason}.").format(path=path, reason=error.strerror),
            hint=_("Name another with --config or DOZOR_CONFIG."),
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(
            _("Settings file '{path}' is not YAML: see line {line}.").format(
                path=path, line=mark.line + 1 if mark else 1
            ),
            hint=_("Write settings as 'name: value'."),
        ) from error
    _take_branch(given, model, {} if tree is None else tree, (), str(path))


def _take_branch(given: Given, model: type[BaseModel], tree: object, place: Place, source: str) -> None:
    if not isinstance(tree, dict):
        raise SettingsError(
            _("{name} in {source} holds no settings.").format(name=".".join(place) or "/", source=source),
            hint=_("Write settings as 'name: value'."),
        )
    for name, value in tree.items():
        info = model.model_fields.get(str(name))
        if info is None:
            raise _unknown(".".join((*place, str(name))), str(name), list(model.model_fields), source)
        branch = info.annotation
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            _take_branch(given, branch, {} if value is None else value, (*place, name), source)
        else:
            given.put((*place, name), value, ".".join((*place, name)), source)


def _unknown(key: str, name: str, names: list[str], source: str) -> SettingsError:
    near = get_close_matches(name, names, n=1)
    hint = (
        _("Did you mean '{name}'?").format(name=near[0])
        if near
        else _("Known here: {names}.").format(names=", ".join(names))
    )
    return SettingsError(_("{key} in {source} is no setting.").format(key=key, source=source), hint=hint)


def env_file(path: Path, known: Iterable[Setting] | None = None) -> Mapping[str, str]:
    """What an `.env` file sets; nothing when it is not there, or is another program's and open to others.

    Args:
        path: The file.
        known: The settings; one that sets any of them must be closed to other users.

    Raises:
        SettingsError: It cannot be read, or is open to other users.
    """
    if not path.is_file():
        return {}
    try:
        mode = path.stat().st_mode & 0o777
        found = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            _("Settings file '{path}' cannot be read: {reason}.").format(
                path=path, reason=getattr(error, "strerror", None) or error
            ),
            hint=_("Save it as UTF-8 and let this user read it, or start elsewhere."),
        ) from error
    values = {name: value for name, value in found.items() if value is not None}
    if mode & _OTHERS:
        if any(setting.variable in values for setting in known or leaves(Settings)):
            raise SettingsError(
                _("Settings file '{path}' is open to other users (mode {mode}), so it is not read.").format(
                    path=path, mode=f"{mode:03o}"
                ),
                hint=_("Close it by: {command}").format(command=f"chmod 600 {shlex.quote(str(path))}"),
            )
        return {}
    return values


def _take_variables(given: Given, known: list[Setting], values: Mapping[str, str], source: str) -> None:
    for setting in known:
        text = values.get(setting.variable, "")
        # An empty variable is how a shell or a compose file says "not set".
        if text:
            given.put(setting.place, _several(text, setting.container), setting.variable, source)


def _several(text: str, container: type | None) -> object:
    """Split a variable's text: JSON, or `a,b` for a list and `a=b,c=d` for a mapping."""
    if container is None:
        return text
    if text.lstrip()[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if container is list:
        return parts
    pairs = [part.partition("=") for part in parts]
    return (
        {name.strip(): value.strip() for name, equals, value in pairs} if all(p[1] for p in pairs) else text
    )


def _fault(detail: ErrorDetails, given: Given, secret: set[Place]) -> str:
    """Say one fault as `LOG_LEVEL (environment) is 'loud': use one of debug, info`."""
    loc = tuple(str(step) for step in detail["loc"])
    place = next((loc[:end] for end in range(len(loc), 0, -1) if loc[:end] in given.origins), loc)
    name, source = given.origins.get(place, (".".join(place), DEFAULT))
    value = MASK if place in secret else mask(str(detail["input"]))
    return _("{name} ({source}) is '{value}': {advice}").format(
        name=name, source=source_text(source), value=value, advice=_advice(detail)
    )


def _advice(detail: ErrorDetails) -> str:
    kind = "ip" if detail["type"].startswith("ip_") else detail["type"]
    if kind not in _ADVICE:
        return detail["msg"]
    context = detail.get("ctx", {})
    if kind == "literal_error":
        # Pydantic joins the choices with an English word.
        context = {"expected": context["expected"].replace(" or ", ", ")}
    return _(_ADVICE[kind]).format(**context)
