"""`keepstream deliver` and `keepstream undelivered` without a broker."""

from base64 import b64encode
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agents.cli import app

SECRET = "whsec_" + b64encode(b"s" * 32).decode()
CRM = """\
endpoints:
  - name: crm
    url: https://crm.example.com/hook
    secret_file: crm.secret
"""


def checked(folder: Path, text: str, *more: str) -> Result:
    (folder / "crm.secret").write_text(SECRET)
    (folder / "slack.url").write_text("https://hooks.slack.com/services/T0/B0/hidden")
    file = folder / "endpoints.yaml"
    file.write_text(text)
    return CliRunner().invoke(app, ["deliver", "--endpoints", str(file), "--check", *more])


def test_a_check_shows_what_would_be_sent_and_no_secret(tmp_path: Path) -> None:
    tools = """\
  - {name: team, to: slack, url_file: slack.url, kinds: [cart-abandoned]}
  - {name: mail, to: braze, url: "https://rest.example.com", secret_file: crm.secret}
"""
    told = checked(tmp_path, CRM + tools)

    assert 0 == told.exit_code, told.output
    for shown in (
        "POST https://crm.example.com/hook",
        "webhook-id: ",
        "webhook-signature: v1,",
        '"type":"keepstream.retention-trigger.cart-abandoned.v1"',
        '{"text":"cart-abandoned for ada: 1 in the cart"}',
        "next-best-action of group treated: not for it",
        "POST https://rest.example.com/users/track",
        "Authorization: ***",
    ):
        assert shown in told.output
    assert SECRET not in told.output
    assert "hidden" not in told.output


def test_a_check_shows_a_trigger_of_a_kind_that_the_endpoint_takes(tmp_path: Path) -> None:
    told = checked(tmp_path, CRM + "    kinds: [next-best-action, ticket-overdue]\n")

    assert '"type":"keepstream.retention-trigger.ticket-overdue.v1"' in told.output
    told = checked(tmp_path, CRM + "    kinds: [next-best-action]\n")
    assert "cart-abandoned of group treated: not for it" in told.output


def test_a_check_shows_the_facts_that_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text('[rules]\nfacts = ["segment", "clv"]\n')
    monkeypatch.setenv("KEEPSTREAM_PARAMETERS", str(tmp_path / "own.toml"))
    told = checked(tmp_path, CRM + "    segments: [lost, new]\n    facts: [segment, clv]\n")

    assert 0 == told.exit_code, told.output
    assert '"facts":{"segment":"lost","clv":1.0}' in told.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CRM + "    kinds: [cart-abandond]\n", "did you mean cart-abandoned?"),
        (CRM + "    channels: [e-mail]\n", "did you mean email?"),
        (CRM + "    segments: [champion]\n", "did you mean champions?"),
        (CRM + "    segments: [vip-sliping]\n", "did you mean vip-slipping?"),
        (CRM + "    segments: [vip-slipping]\n", 'set `facts = ["segments"]`'),
        (CRM + "    facts: [net_365]\n", "did you mean net_365d?"),
        (CRM + "    facts: [clv]\n", 'set `facts = ["clv"]` in [rules] of the parameters'),
        (CRM + "    facts: [clv]\n    segments: [lost]\n", 'facts = ["clv", "segment"]'),
        (CRM + "    channels: [xyzzy]\n", "known: "),
        (CRM + '    template: \'{"a": "${data.nme}"}\'\n', "no message has ${data.nme}"),
        (
            CRM + "    to: braze\n    erased: true\n",
            "that somebody was erased is told without one",
        ),
        (CRM + "    secrets: x\n", "there is no 'secrets'"),
        *(
            (CRM.replace("crm.example.com", host), "set allow_private: true if that is meant")
            for host in ("127.0.0.1", "10.0.0.1:8080", "[::1]", "[::ffff:10.0.0.1]", "localhost")
        ),
    ],
)
def test_what_does_not_fit_the_rules_is_refused(text: str, words: str, tmp_path: Path) -> None:
    told = checked(tmp_path, text)

    assert (2, True) == (told.exit_code, words in told.output), told.output
    assert "endpoints.yaml:2: crm: " in told.output


@pytest.mark.parametrize("command", [["deliver", "--check"], ["deliver"], ["undelivered", "retry"]])
def test_without_a_file_of_endpoints_it_says_how_to_make_one(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEEPSTREAM_ENDPOINTS", raising=False)
    told = CliRunner().invoke(app, command)

    assert (2, True) == (told.exit_code, "keepstream init DIR" in told.output)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSTREAM_ENDPOINTS", str(tmp_path / "no.yaml"))
    told = CliRunner().invoke(app, ["deliver", "--check"])

    assert (2, True) == (told.exit_code, "KEEPSTREAM_ENDPOINTS is" in told.output)
