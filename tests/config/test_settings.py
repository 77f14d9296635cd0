"""Settings are read completely or refused with the fix; secrets are never shown."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.pretty import pretty_repr

from config.settings import (
    SECRETS_IN_FILES,
    Settings,
    SettingsError,
    describe,
    known_variables,
    load_settings,
    redact_url,
    variable_of,
)

CANARY = "canary-7f3a"
LOGIN = {
    "KEEPSTREAM_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KEEPSTREAM_SASL_USERNAME": "keeper",
}


def test_nothing_set_gives_the_defaults() -> None:
    assert Settings() == load_settings({})


def test_variables_of_other_programs_are_left_alone() -> None:
    assert Settings() == load_settings({"PATH": "/bin", "KEEP": "1", "keepstream_group": "x"})


@pytest.mark.parametrize(
    ("variable", "raw", "field", "expected"),
    [
        ("BOOTSTRAP_SERVERS", "a:1,[::1]:2", "bootstrap_list", ["a:1", "[::1]:2"]),
        ("REDIS_URL", "rediss://cache:6380/1", "redis_url", "rediss://cache:6380/1"),
        ("GROUP", "shop-a", "group_id", "shop-a"),
        ("PARTITIONS", "12", "partitions", 12),
        ("REPLICATION_FACTOR", "3", "replication_factor", 3),
        ("WEB_PORT", "0", "web_port", 0),
        ("LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("GROUP_INSTANCE_ID", "worker-0", "group_instance_id", "worker-0"),
        ("SESSION_TIMEOUT_MS", "45000", "session_timeout_ms", 45_000),
        ("PACE_MS", "0", "pace_ms", 0),
        ("MAX_BATCH_RECORDS", "1", "max_batch_records", 1),
        ("TOPIC_PREFIX", "", "topic_prefix", ""),
    ],
)
def test_a_variable_sets_its_field(variable: str, raw: str, field: str, expected: Any) -> None:
    settings = load_settings({f"KEEPSTREAM_{variable}": raw})
    assert expected == getattr(settings, field)


@pytest.mark.parametrize(
    ("variable", "raw", "fix"),
    [
        ("PARTITIONS", "many", "a whole number from 1 to 1000"),
        ("PARTITIONS", "0", "a whole number from 1 to 1000"),
        ("PARTITIONS", "", "a whole number from 1 to 1000"),
        ("WEB_PORT", "65536", "a whole number from 0 to 65535"),
        ("SESSION_TIMEOUT_MS", "600000", "a whole number from 1000 to 300000"),
        ("SECURITY_PROTOCOL", "", "one of PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL"),
        ("SECURITY_PROTOCOL", "TLS", "one of PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL"),
        ("LOG_LEVEL", "loud", "one of DEBUG, ERROR, INFO, WARNING"),
        ("LOG_FORMAT", "xml", "one of json, text"),
        ("BOOTSTRAP_SERVERS", "kafka", "kafka:9092"),
        ("BOOTSTRAP_SERVERS", "kafka:9092,", "kafka:9092"),
        ("BOOTSTRAP_SERVERS", "kafka://kafka:9092", "kafka:9092"),
        ("GROUP", "two words", "keepstream"),
        ("TOPIC_PREFIX", "a/b", "staging."),
        ("PARAMETERS", "/nowhere/mine.toml", "no such file"),
        ("ROWS_DIR", "/nowhere", "no such directory"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_fix(
    variable: str, raw: str, fix: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({f"KEEPSTREAM_{variable}": raw})
    message = str(refused.value)
    assert message.startswith(f"KEEPSTREAM_{variable} is {raw!r}: ")
    assert fix in message


@pytest.mark.parametrize(
    ("misspelled", "nearest"),
    [
        ("KEEPSTREAM_BOOTSTRAP_SERVER", "KEEPSTREAM_BOOTSTRAP_SERVERS"),
        ("KEEPSTREAM_REDIS", "KEEPSTREAM_REDIS_URL"),
        ("KEEPSTREAM_PASSWORD", "KEEPSTREAM_SASL_PASSWORD"),
        ("KEEPSTREAM_partitions", "KEEPSTREAM_PARTITIONS"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    misspelled: str, nearest: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({misspelled: CANARY})
    assert f"{misspelled} is not a setting: did you mean {nearest}?" in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({**LOGIN}, "KEEPSTREAM_SASL_PASSWORD is empty"),
        (
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SASL_SSL", "KEEPSTREAM_SASL_PASSWORD": CANARY},
            "KEEPSTREAM_SASL_USERNAME is empty",
        ),
        ({"KEEPSTREAM_SASL_PASSWORD": CANARY}, "KEEPSTREAM_SASL_PASSWORD would be ignored"),
        (
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SSL", "KEEPSTREAM_SASL_USERNAME": "keeper"},
            "KEEPSTREAM_SASL_USERNAME would be ignored",
        ),
        ({"KEEPSTREAM_SSL_CAFILE": __file__}, "KEEPSTREAM_SSL_CAFILE would be ignored"),
        (
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SSL", "KEEPSTREAM_SSL_CAFILE": "/nowhere.pem"},
            "no such file",
        ),
        (
            {
                **LOGIN,
                "KEEPSTREAM_SASL_PASSWORD": CANARY,
                "KEEPSTREAM_SASL_PASSWORD_FILE": __file__,
            },
            "both set",
        ),
        ({**LOGIN, "KEEPSTREAM_SASL_PASSWORD_FILE": "/nowhere"}, "No such file"),
    ],
)
def test_credentials_are_used_in_full_or_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    assert said in str(refused.value)
    assert CANARY not in str(refused.value)


def test_the_password_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{CANARY}\n", encoding="utf-8")
    settings = load_settings({**LOGIN, "KEEPSTREAM_SASL_PASSWORD_FILE": str(secret)})
    assert settings.sasl_password == CANARY


@pytest.mark.parametrize(
    ("variable", "others", "secret"),
    [
        ("SASL_PASSWORD", LOGIN, CANARY),
        ("REDIS_URL", {}, f"rediss://:{CANARY}@cache:6380/0"),
        (
            "SSL_KEY_PASSWORD",
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SSL", "KEEPSTREAM_SSL_CERTFILE": __file__},
            CANARY,
        ),
    ],
)
def test_every_secret_can_come_from_a_file_and_only_from_there(
    tmp_path: Path, variable: str, others: dict[str, str], secret: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{secret}\n", encoding="utf-8")
    name = f"KEEPSTREAM_{variable}"
    settings = load_settings({**others, f"{name}_FILE": str(path)})
    assert secret == getattr(settings, variable.lower())
    assert CANARY not in repr(settings)
    with pytest.raises(SettingsError, match=f"{name} and {name}_FILE are both set") as refused:
        load_settings({**others, name: secret, f"{name}_FILE": str(path)})
    assert CANARY not in str(refused.value)


def test_every_secret_has_a_setting_for_its_file() -> None:
    assert {"redis_url", "sasl_password"} < set(SECRETS_IN_FILES)
    for name in SECRETS_IN_FILES:
        assert f"{name}_file" in Settings.__struct_fields__


def test_an_option_wins_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("redis://theirs:6379/0")
    settings = load_settings({"KEEPSTREAM_REDIS_URL_FILE": str(path)}, redis_url="redis://mine:1/0")
    assert "redis://mine:1/0" == settings.redis_url


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n", "the file is empty"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"x" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        load_settings({**LOGIN, "KEEPSTREAM_SASL_PASSWORD_FILE": str(secret)})


def test_a_url_in_a_file_that_cannot_be_used_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(f"http://:{CANARY}@cache:6379")
    with pytest.raises(SettingsError, match="KEEPSTREAM_REDIS_URL is .hidden.") as refused:
        load_settings({"KEEPSTREAM_REDIS_URL_FILE": str(path)})
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KEEPSTREAM_SSL_CERTFILE": __file__}, "KEEPSTREAM_SSL_CERTFILE would be ignored"),
        (
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SSL", "KEEPSTREAM_SSL_KEYFILE": __file__},
            "KEEPSTREAM_SSL_KEYFILE is set without KEEPSTREAM_SSL_CERTFILE",
        ),
        (
            {"KEEPSTREAM_SECURITY_PROTOCOL": "SSL", "KEEPSTREAM_SSL_CERTFILE": "/nowhere.pem"},
            "KEEPSTREAM_SSL_CERTFILE is '/nowhere.pem': there is no such file",
        ),
    ],
)
def test_a_certificate_is_used_in_full_or_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    assert said in str(refused.value)


def test_secrets_are_shown_nowhere() -> None:
    settings = load_settings(
        {
            **LOGIN,
            "KEEPSTREAM_SASL_PASSWORD": CANARY,
            "KEEPSTREAM_REDIS_URL": f"redis://:{CANARY}@cache:6379/0",
        }
    )
    for shown in (repr(settings), str(settings), pretty_repr(settings)):
        assert CANARY not in shown
        assert "cache:6379" in shown


def test_a_secret_that_cannot_be_used_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"KEEPSTREAM_REDIS_URL": f"http://:{CANARY}@cache:6379"})
    assert "KEEPSTREAM_REDIS_URL is (hidden)" in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pw@h:1/0", "redis://:***@h:1/0"),
        ("redis://user:p@w@h:1/0", "redis://user:***@h:1/0"),
        ("redis://user@h:1/0", "redis://user@h:1/0"),
        ("redis://:p/w@h:1/0", "redis://:***@h:1/0"),
        ("redis://h:1/0?password=pw&db=1", "redis://h:1/0?password=***&db=1"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, redacted: str) -> None:
    assert redacted == redact_url(url)


def test_an_override_wins_unless_it_is_none() -> None:
    environ = {"KEEPSTREAM_PARTITIONS": "8", "KEEPSTREAM_GROUP": "environment"}
    settings = load_settings(environ, partitions=2, group=None)
    assert (2, "environment") == (settings.partitions, settings.group)


def test_an_override_is_checked_like_a_variable() -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_PARTITIONS is 0"):
        load_settings({}, partitions=0)
    with pytest.raises(TypeError, match="partition"):
        load_settings({}, partition=4)


def test_the_prefix_keeps_deployments_apart() -> None:
    settings = load_settings({"KEEPSTREAM_TOPIC_PREFIX": "staging."})
    assert settings.topic("customers") == "staging.customers"
    assert settings.group_id == "staging.keepstream"


def test_the_table_describes_every_variable_once() -> None:
    table = describe()
    fields = {field.name for field in msgspec.structs.fields(Settings)}
    assert {f"KEEPSTREAM_{name.upper()}" for name in fields} == {row.name for row in table}
    assert len(fields) == len(table)
    assert all(row.description for row in table)
    assert {row.name for row in table} <= known_variables()


def test_every_default_in_the_table_is_a_value_that_can_be_set() -> None:
    settings = load_settings({row.name: row.default for row in describe()})
    assert Settings() == settings


def test_the_log_may_expire_only_where_it_is_also_kept_sealed() -> None:
    assert -1 == load_settings({}).log_retention_ms
    sealed = load_settings({}, archive="on", log_retention="30d")
    assert 30 * 86_400_000 == sealed.log_retention_ms
    with pytest.raises(
        SettingsError, match="older events would be lost: set KEEPSTREAM_ARCHIVE=on"
    ):
        load_settings({}, log_retention="30d")
    with pytest.raises(SettingsError, match="set at least 7d"):
        load_settings({}, archive="on", log_retention="12h")
    with pytest.raises(SettingsError, match="KEEPSTREAM_LOG_RETENTION is 'soon'"):
        load_settings({}, archive="on", log_retention="soon")


def test_no_setting_with_a_form_takes_a_line_break_at_its_end() -> None:
    forms = ("a", "7d", "app=" + "0" * 64, "http://a", "redis://a", "a:1", "a-1@1")
    taken = set()
    for variable in describe():
        if not msgspec.json.schema(_type_of(variable.name)).get("pattern", "").startswith("^"):
            continue
        for text in filter(None, (variable.default, *forms)):
            with suppress(SettingsError):
                load_settings({variable.name: text})
                taken.add(variable.name)
                assert _is_refused(variable.name, f"{text}\n"), variable.name
    assert len(taken) > 8


def _is_refused(variable: str, text: str) -> bool:
    try:
        load_settings({variable: text})
    except SettingsError:
        return True
    return False


def _type_of(variable: str) -> Any:
    fields = msgspec.structs.fields(Settings)
    return next(field.type for field in fields if variable == variable_of(field.name))
