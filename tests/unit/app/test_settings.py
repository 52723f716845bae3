from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from dozor.app.about import describe
from dozor.app.settings import Loaded, Settings, leaves, load
from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import use_language
from dozor.kernel.masking import mask

KNOWN = ", ".join(Settings.model_fields)


def closed(path: Path) -> Path:
    path.touch(mode=0o600)
    return path


def settings(folder: Path, yaml: str = "", env_file: str = "", **environ: str) -> Loaded[Settings]:
    if yaml:
        (folder / "dozor.yaml").write_text(yaml)
    if env_file:
        closed(folder / ".env").write_text(env_file)
    return load(Settings, environ, folder=folder)


def complaint(folder: Path, yaml: str = "", env_file: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(folder, yaml, env_file, **environ)
    return str(caught.value).replace(str(folder) + "/", "")


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    assert loaded.settings.log_level == "warning"
    assert loaded.settings.traffic.log_format == "auto"
    assert loaded.origins == {}


def test_the_environment_beats_the_env_file_and_that_beats_yaml(tmp_path: Path) -> None:
    yaml = "log_level: info\nlog_format: json\ntraffic: {workers: 3}\n"
    env_file = "LOG_LEVEL=error\nDOZOR_TRAFFIC__WORKERS=4\n"
    loaded = settings(tmp_path, yaml, env_file, LOG_LEVEL="debug")
    assert (loaded.settings.log_level, loaded.settings.log_format) == ("debug", "json")
    assert loaded.settings.traffic.workers == 4
    assert {place[-1]: origin[1].rpartition("/")[2] for place, origin in loaded.origins.items()} == {
        "log_level": "environment",
        "log_format": "dozor.yaml",
        "workers": ".env",
    }


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert settings(tmp_path, "log_level: info\n", LOG_LEVEL="").settings.log_level == "info"


@pytest.mark.parametrize("text", ["10.0.0.0/8, 2001:db8::/32", '["10.0.0.0/8", "2001:db8::/32"]'])
def test_a_variable_holds_several_values_with_commas_or_as_json(tmp_path: Path, text: str) -> None:
    traffic = settings(tmp_path, DOZOR_TRAFFIC__TRUSTED_PROXIES=text).settings.traffic
    assert traffic.trusted_proxies == [IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32")]


@pytest.mark.parametrize(
    "text", ["addr=remote_addr, code=status", '{"addr": "remote_addr", "code": "status"}']
)
def test_a_variable_holds_pairs_with_equals_or_as_json(tmp_path: Path, text: str) -> None:
    traffic = settings(tmp_path, DOZOR_TRAFFIC__JSON_FIELDS=text).settings.traffic
    assert traffic.json_fields == {"addr": "remote_addr", "code": "status"}


def test_a_yaml_file_is_named_by_option_or_variable(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("log_level: info")
    (tmp_path / "b.yaml").write_text("log_level: error")
    named = {"DOZOR_CONFIG": str(tmp_path / "a.yaml")}
    assert load(Settings, named, folder=tmp_path).settings.log_level == "info"
    chosen = load(Settings, named, config=tmp_path / "b.yaml", folder=tmp_path)
    assert chosen.settings.log_level == "error"


def test_an_empty_yaml_file_or_branch_changes_nothing(tmp_path: Path) -> None:
    assert settings(tmp_path, "# nothing\n").settings == settings(tmp_path, "traffic:\n").settings


def test_a_bad_variable_is_named_with_its_value_and_the_way_out(tmp_path: Path) -> None:
    assert complaint(tmp_path, LOG_LEVEL="loud") == (
        "LOG_LEVEL (environment) is 'loud': use one of 'debug', 'info', 'warning', 'error', 'critical'."
    )


def test_a_bad_value_in_a_file_is_named_as_it_is_written_there(tmp_path: Path) -> None:
    assert (
        complaint(tmp_path, "traffic: {workers: 0}") == "traffic.workers (dozor.yaml) is '0': use 1 or more."
    )
    (tmp_path / "dozor.yaml").unlink()
    told = complaint(tmp_path, env_file="DOZOR_TRAFFIC__WORKERS=two")
    assert told == "DOZOR_TRAFFIC__WORKERS (.env) is 'two': use a whole number."


def test_all_bad_values_are_told_at_once_in_one_line(tmp_path: Path) -> None:
    told = complaint(
        tmp_path,
        "log_format: xml",
        DOZOR_TRAFFIC__TRUSTED_PROXIES="10.0.0.0/8,here",
        DOZOR_TRAFFIC__JSON_FIELDS="addr",
    )
    assert "log_format (dozor.yaml) is 'xml': use one of 'text', 'json'" in told
    assert "DOZOR_TRAFFIC__TRUSTED_PROXIES (environment) is 'here': use an address or a network" in told
    assert "DOZOR_TRAFFIC__JSON_FIELDS (environment) is 'addr': use pairs" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        ("trafic: {}", "trafic in dozor.yaml is no setting. Did you mean 'traffic'?"),
        ("traffic: {wrokers: 3}", "traffic.wrokers in dozor.yaml is no setting. Did you mean 'workers'?"),
        ("zzz: 1", f"zzz in dozor.yaml is no setting. Known here: {KNOWN}."),
        ("1: 1", f"1 in dozor.yaml is no setting. Known here: {KNOWN}."),
        ("traffic: 5", "traffic in dozor.yaml holds no settings. Write settings as 'name: value'."),
        ("[1]", "/ in dozor.yaml holds no settings. Write settings as 'name: value'."),
        ("a: [\n", "Settings file 'dozor.yaml' is not YAML: see line 2. Write settings as 'name: value'."),
    ],
)
def test_a_yaml_file_that_cannot_be_meant_is_refused(tmp_path: Path, yaml: str, told: str) -> None:
    assert complaint(tmp_path, yaml) == told


def test_a_named_yaml_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.yaml' is not there\. Name another with --config"):
        load(Settings, {}, config=tmp_path / "missing.yaml", folder=tmp_path)


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    closed(tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    assert ".env" in complaint(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_an_env_file_that_others_can_open_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "a b" / ".env"
    file.parent.mkdir()
    file.write_text("SECRET_KEY=open sesame\n")
    file.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        load(Settings, {}, folder=file.parent)
    assert str(caught.value) == (
        f"Settings file '{file}' is open to other users (mode {mode:o}), so it is not read. "
        f"Close it by: chmod 600 '{file}'"
    )
    file.chmod(0o400)
    assert load(Settings, {}, folder=file.parent).settings.secret_key is not None


def test_an_open_env_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NODE_ENV=production\n")
    (tmp_path / ".env").chmod(0o644)
    assert settings(tmp_path).origins == {}


def test_any_setting_may_refer_to_a_secret_and_shows_what_it_refers_to(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://ann:open-sesame@db/dozor\n")
    loaded = settings(
        tmp_path,
        f"database: {{url: 'file:{tmp_path}/url'}}\nthreats: {{disabled_rules: ['env:RULE', b]}}",
        "LEVEL=error\n",
        LOG_LEVEL="env:LEVEL",
        RULE="a",
    )
    url = loaded.settings.database.url
    assert url is not None
    assert url.get_secret_value() == "postgresql://ann:open-sesame@db/dozor"
    assert (loaded.settings.log_level, loaded.settings.threats.disabled_rules) == ("error", ["a", "b"])
    shown = {row["name"]: row["value"] for row in describe(loaded)}
    assert shown["database.url"] == f"file:{tmp_path}/url"
    assert (shown["log_level"], shown["threats.disabled_rules"]) == ("env:LEVEL", "env:RULE")
    assert "open-sesame" not in mask("It said open-sesame.")
    (tmp_path / "level").write_text("info")
    again = loaded.overridden({"log_level": f"file:{tmp_path}/level", "port": 7000})
    assert (again.settings.log_level, again.referred[("log_level",)]) == ("info", f"file:{tmp_path}/level")
    assert again.settings.database.url == url


def test_a_reference_that_leads_nowhere_names_its_setting(tmp_path: Path) -> None:
    assert complaint(tmp_path, env_file="REDIS_URL=env:NOWHERE") == (
        "REDIS_URL (.env) refers to env:NOWHERE: the variable NOWHERE is not set."
    )


def test_what_was_fetched_is_not_shown_when_it_cannot_be_used(tmp_path: Path) -> None:
    told = complaint(tmp_path, LOG_LEVEL="env:LEVEL", LEVEL="open-sesame")
    assert told.startswith("LOG_LEVEL (environment) is '***': use one of")


@pytest.mark.parametrize(
    ("variable", "key", "text"),
    [
        ("DATABASE_URL", "database.url", "postgresql://user:password@localhost:5432/telegram_bots"),
        ("DATABASE_POOL_SIZE", "database.pool_size", "20"),
        ("DATABASE_MAX_OVERFLOW", "database.max_overflow", "30"),
        ("REDIS_URL", "cache.url", "redis://localhost:6379/0"),
        ("CACHE_KEY_PREFIX", "cache.key_prefix", "tbm:"),
        ("SECRET_KEY", "secret_key", "your-secret-key-here"),
        ("SESSION_TIMEOUT", "access.session_timeout_s", "3600"),
        ("ADMIN_USERNAME", "access.admin_username", "admin"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "access.access_token_s", "3600"),
        ("JWT_REFRESH_TOKEN_EXPIRES", "access.refresh_token_s", "2592000"),
    ],
)
def test_variables_of_the_earlier_manager_are_taken(
    tmp_path: Path, variable: str, key: str, text: str
) -> None:
    loaded = settings(tmp_path, **{variable: text})
    assert loaded.origins[tuple(key.split("."))] == (variable, "environment")


def test_a_bad_value_is_told_in_russian(tmp_path: Path) -> None:
    with use_language("ru"):
        told = complaint(tmp_path, LOG_LEVEL="loud")
    assert told.startswith("LOG_LEVEL (окружение): 'loud' не подходит, ")


def test_every_setting_is_described(tmp_path: Path) -> None:
    english = {row["name"]: row["help"] for row in describe(settings(tmp_path))}
    with use_language("ru"):
        russian = {row["name"]: row["help"] for row in describe(settings(tmp_path))}
    assert set(english) == {setting.key for setting in leaves(Settings)}
    assert all(english.values())
    assert not [name for name in english if english[name] == russian[name]]


class Vault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: SecretStr = Field(SecretStr("unset-password"), min_length=12, description="Opens the vault.")
    spare: SecretStr | None = Field(None, description="Opens it as well.")


def test_a_secret_is_masked_where_settings_are_shown_and_in_complaints() -> None:
    loaded = load(Vault, {"DOZOR_PASSWORD": "open sesame, please"})
    assert loaded.settings.password.get_secret_value() == "open sesame, please"
    assert [row["value"] for row in describe(loaded)] == ["***", None]
    with pytest.raises(SettingsError) as caught:
        load(Vault, {"DOZOR_PASSWORD": "tiny"})
    assert str(caught.value).startswith("DOZOR_PASSWORD (environment) is '***': ")
    assert "tiny" not in str(caught.value)


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    loaded = settings(tmp_path, DOZOR_TRAFFIC__CLICKHOUSE_URL="http://ann:open-sesame@db:8123/dozor")
    shown = {row["name"]: row["value"] for row in describe(loaded)}
    assert shown["traffic.clickhouse_url"] == "http://ann:***@db:8123/dozor"


def test_options_win_and_are_named_when_they_cannot_be_used(tmp_path: Path) -> None:
    loaded = settings(tmp_path, PORT="6000", DOZOR_TRAFFIC__LOGS="a.log")
    won = loaded.overridden(
        {"port": 7000, "traffic.logs": ["b.log"], "data_dir": None}, {"traffic.logs": "--log"}
    )
    assert (won.settings.port, won.settings.traffic.logs, won.settings.data_dir) == (7000, ["b.log"], None)
    assert won.origins["traffic", "logs"] == ("--log", "option")
    with pytest.raises(SettingsError, match=r"--port \(option\) is '70000': use 65535 or less"):
        loaded.overridden({"port": 70000})
