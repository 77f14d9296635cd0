"""The file of endpoints: errors name the line and the fix."""

from base64 import b64encode
from pathlib import Path

import pytest

from config.endpoints import ENDPOINTS_MAX, load_endpoints
from config.rules import RuleError

SECRET = "whsec_" + b64encode(b"s" * 32).decode()
OTHER = b64encode(b"t" * 24).decode()
ENVIRON = {"CRM_SECRET": OTHER, "SHORT": "whsec_c2hvcnQ=", "TWO": "a b", "EMPTY": " "}
BEGIN = "endpoints:\n  - name: crm\n    url: https://example.com/hook\n"
WHOLE = BEGIN + "    secret_env: CRM_SECRET\n"


def loaded(folder: Path, text: str) -> tuple[object, ...]:
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "url").write_text("https://hooks.example.com/T0/B0/x\n")
    path = folder / "endpoints.yaml"
    path.write_text(text)
    return load_endpoints(path, ENVIRON)


def test_secrets_come_from_files_and_variables_and_are_shown_to_nobody(tmp_path: Path) -> None:
    text = BEGIN + "    secret_file: secret\n    secret_env: [CRM_SECRET]\n    timeout: 5s\n"
    [endpoint] = loaded(tmp_path, text)

    assert (b"s" * 32, b"t" * 24) == endpoint.signing_keys()  # type: ignore[attr-defined]
    assert 5_000 == endpoint.rule.timeout  # type: ignore[attr-defined]
    for shown in (repr(endpoint), str(endpoint), f"{endpoint}"):
        assert SECRET not in shown
        assert "example.com" not in shown


def test_an_address_that_is_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    text = "endpoints:\n  - {name: team, to: slack, url_file: url}\n"
    [endpoint] = loaded(tmp_path, text)

    assert "https://hooks.example.com/T0/B0/x" == endpoint.url  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected `endpoints:` at the top"),
        ("# endpoints:\n", "at the top, and every line is a comment: remove the # signs"),
        ("endpoints: []", "declare 1 to"),
        ("endpoints:\n" + WHOLE.partition("\n")[2] * (ENDPOINTS_MAX + 1), "declare 1 to"),
        ("endpoint:\n  - name: crm\n", "did you mean endpoints?"),
        (WHOLE + "    secrt: x\n", "endpoints.yaml:2: crm: there is no 'secrt'"),
        (WHOLE + "    retries: 3\n", "there is no 'retries'"),
        (WHOLE + WHOLE.partition("\n")[2], "endpoints.yaml:5: crm: line 2 has this name, too"),
        (
            WHOLE.replace("crm", "C R M", 1),
            "name: expected up to 40 lower-case letters, digits and '-'",
        ),
        (BEGIN + "    secret_file: ''\n", "crm: secret_file is empty: name the file"),
        (BEGIN + "    secret_env: ''\n", "crm: secret_env is empty: name the variable"),
        (WHOLE + "    to: brase\n", "'brase' is no destination; known: generic"),
        ("endpoints:\n  - name: crm\n    secret_env: CRM_SECRET\n", "no url: give one of"),
        (WHOLE + "    url_env: URL\n", "url and url_env: give one of"),
        (WHOLE.replace("https://example.com/hook", "example.com"), "its url is none"),
        (WHOLE.replace("https://example.com/hook", "https://"), "its url is none"),
        (WHOLE.replace("example.com", "example.com:99999"), "its url is none"),
        (WHOLE.replace("https", "http"), "allow_http: true"),
        (WHOLE.replace("https", "ftp"), "only https is spoken"),
        (WHOLE.replace("example.com", "me:pass@example.com"), "its url holds a password"),
        (WHOLE.replace("/hook", "/hook#part"), "after #"),
        (WHOLE.replace("/hook", "/hook#"), "after #"),
        (WHOLE.replace("example.com", "@example.com"), "its url holds a password"),
        (WHOLE.replace("example.com", ":@example.com"), "its url holds a password"),
        *(
            (WHOLE.replace("https://example.com/hook", f"'https://{host}/'"), "its url is none")
            for host in (
                "a|b",
                'a"b',
                "a%00b",
                "a%2eb",
                "....",
                ".a",
                "a..b",
                "-a",
                "a-",
                "a" * 64,
                ".".join(["a" * 60] * 5),
                "a\\b",
                "[1.2.3.4]:x",
                "[fe80::1%25eth0]",
                "[::12345]",
            )
        ),
        (WHOLE.replace("crm", '"crm\\n"', 1), "name"),
        (BEGIN + '    secret_file: "a\\0b"\n', "no file has such a name"),
        (BEGIN, "no secret to sign with: make one with echo whsec_$("),
        (
            BEGIN + "    secret_file: nowhere\n",
            "nowhere can't be read (No such file or directory): write the secret into it",
        ),
        (BEGIN + "    secret_env: NOWHERE\n", "NOWHERE holds nothing"),
        (BEGIN + "    secret_env: EMPTY\n", "EMPTY holds nothing"),
        (BEGIN + "    secret_env: TWO\n", "TWO has more than one line, or"),
        (BEGIN + "    secret_env: SHORT\n", "and this is not: make one with echo whsec_$("),
        (BEGIN + "    secret_env: KEEPSTREAM_SECRET\n", "name it otherwise"),
        (BEGIN + f"    secret: {SECRET}\n", "there is no 'secret'"),
        (WHOLE + "    user: ada\n", "user would be ignored"),
        (WHOLE + "    to: slack\n", "a secret would be ignored"),
        (WHOLE + "    to: braze\n    event: x\n", "event would be ignored"),
        (WHOLE + "    to: hubspot\n", "set event: pe123_keepstream"),
        (WHOLE + "    to: braze\n    field: x\n", "field would be ignored: only mautic"),
        (WHOLE + "    to: mautic\n    user: me\n", "set field: customer_id"),
        (WHOLE + "    to: mautic\n    user: me\n    field: Kunden-Nr\n", "the alias of a field"),
        (WHOLE + "    to: customerio\n", "set user"),
        (BEGIN + "    to: braze\n", "its API key: name it as secret_file"),
        (BEGIN + "    to: braze\n    secret_env: [SHORT, CRM_SECRET]\n", "takes one secret"),
        (WHOLE.replace("example.com", "exämple.com"), "in ASCII"),
        (WHOLE + "    concurrency: 0\n", "concurrency"),
        (WHOLE + "    rate: 0\n", "rate"),
        (WHOLE + "    attempts: 0\n", "attempts"),
        (WHOLE + "    timeout: 5min\n", "timeout is from"),
        (WHOLE + "    retry_longest: 10ms\n", "retry_longest is from"),
        (WHOLE + "    give_up: 60d\n", "give_up is from"),
        (WHOLE + "    groups: []\n", "groups is empty"),
        (WHOLE + "    groups: [holdout]\n", "holdout"),
        (WHOLE + "    begin: first\n", "first"),
        (WHOLE + "    kinds: cart-abandoned\n", "kinds"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError) as refused:
        loaded(tmp_path, text)

    assert words in str(refused.value)
    # A refusal is printed and logged: no secret is in it.
    assert all(secret not in str(refused.value) for secret in (SECRET, OTHER, "me:pass"))
