"""Everything that the pages show works as it stands: events, rules, files and programs.

test_docs checks command lines, and test_readme the README's own steps.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.webhooks.checks import require_usable
from config.endpoints import load_endpoints
from config.settings import load_settings
from config.sources import load_senders
from models.customer.purchases import PURCHASES
from models.decisions.policy import compile_policy
from models.decisions.trigger import decode_decision
from models.events.erasure_record import notice_in
from models.parameters import load_parameters
from models.replay import Replay
from streams.graves import Fingerprints
from streams.line_check import LineCheck
from tests.house.documents import DOCUMENTS, Block, blocks
from tests.house.repository import ROOT
from tests.models.lines import PARAMETERS, at

SHOWN = [
    (document, block)
    for document in DOCUMENTS
    for block in blocks(document.read_text())
    if "adr" not in document.parts
]
#: Blocks that are no one's input: what is printed, drawn or reckoned, and what a shell runs.
NOT_READ = frozenset({"text", "sh"})
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Programs, by what each has in it, and the test that runs it.
PROGRAMS = {
    "Tracker()": "test_readme",
    "KafkaProducer": "test_readme",
    "KafkaConsumer": "test_readme",
    "xreadgroup": "test_readme",
    "BaseHTTPRequestHandler": "tests/kafka/test_webhooks",
    "blake2b": "below",
    "segment.analytics": "tests/kafka/test_first_steps",
    "# orders.py": "below",
    "# shop.py": "test_learning",
    "# ask.py": "test_learning",
    "# judge.py": "test_learning",
    "# sums.py": "test_learning",
    "# grocer.py": "tests/replay/test_journey, by another door",
    "# thin.py": "tests/replay/test_journey, by another door",
}


def of(language: str) -> Any:
    found = [(path, block) for path, block in SHOWN if block.language == language]
    names = [f"{path.name}: {block.text.strip().splitlines()[0][:60]}" for path, block in found]
    return pytest.mark.parametrize("block", [block for _, block in found], ids=names)


def test_every_block_says_what_it_is_in() -> None:
    known = NOT_READ | {"json", "yaml", "toml", "python"}

    assert [] == [(path.name, block) for path, block in SHOWN if block.language not in known]


@of("json")
def test_what_is_shown_as_json_is_understood(block: Block) -> None:
    check = LineCheck(PARAMETERS, at(days=400))
    for line in block.text.splitlines():
        told = orjson.loads(line)
        match told.get("type"):
            case "track" | "identify" | "page" | "screen" | "alias":
                assert check(line.encode()).name
            case "watermark" | "live":
                assert told["timestamp"]
            case "erased":
                assert notice_in(line.encode()) is not None
            case "retention-trigger" | "next-best-action" | "action-withdrawn":
                assert decode_decision(line.encode()).id
            case None:
                # What consent platforms add to an event.
                event = {"type": "page", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}
                assert not check(orjson.dumps(event | told)).has_unread_consent
            case str() as other:
                # The body of a webhook, told in short.
                assert other == f"keepstream.retention-trigger.{told['data']['kind']}.v1"


@of("yaml")
def test_what_is_shown_as_yaml_can_be_declared(block: Block, tmp_path: Path) -> None:
    [use] = [use for first, use in YAML.items() if re.match(first, block.text)]
    use(block.text, tmp_path)


def _endpoints(text: str, folder: Path) -> None:
    (folder / "crm.secret").write_text(SECRET)
    (folder / "endpoints.yaml").write_text(text)
    told = folder / "told.toml"
    told.write_text('[rules]\nfacts = ["segment", "net_365d"]\n')
    [endpoint] = load_endpoints(folder / "endpoints.yaml", {})
    require_usable([endpoint], load_parameters(told))
    assert "crm" == endpoint.name


def _of_an_endpoint(text: str, folder: Path) -> None:
    entry = ("name: crm", "url: https://crm.example.com/", "secret_file: crm.secret")
    _endpoints("endpoints:\n  - " + "\n    ".join(entry) + f"\n{text}", folder)


def _rule(text: str, folder: Path) -> None:
    if "moment:" not in text and "channel:" not in text:
        _segments(f"segments:\n{text}", folder)
        return
    kind = "triggers" if "moment:" in text else "actions"
    file = folder / f"{kind}.yaml"
    file.write_text((ROOT / f"config/{kind}.yaml").read_text() + "\n" + text)
    parameters = load_parameters(assignments=[f"rules.{kind}={file}"])
    compile_policy(parameters)
    names = {rule.name for rule in (*parameters.triggers.triggers, *parameters.actions.actions)}
    assert set(re.findall(r"name: ([a-z-]+)", text)) <= names


def _segments(text: str, folder: Path) -> None:
    file = folder / "segments.yaml"
    file.write_text(text)
    parameters = load_parameters(assignments=[f"rules.segments={file}"])
    compile_policy(parameters)
    assert re.findall(r"name: ([a-z-]+)", text) == [s.name for s in parameters.segments.segments]


def _condition(text: str, folder: Path) -> None:
    rule = f"  - name: shown\n    version: 1\n    moment: score\n    {text.strip()}\n"
    _rule(f"{rule}    cooldown: 7d\n    because: [orders]\n", folder)


YAML: dict[str, Callable[[str, Path], None]] = {
    r"endpoints:": _endpoints,
    r"segments:": _segments,
    r" +(template|facts):": _of_an_endpoint,
    r"  - name:": _rule,
    r"when:": _condition,
}


@of("toml")
def test_what_is_shown_as_toml_can_be_set(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(block.text.replace("<SHA-256 of a write key>", "0" * 64))
    if re.match(r"\[(sources|webhooks)", block.text):
        for name in re.findall(r"[a-z-]+\.secret", block.text):
            (tmp_path / name).write_text(SECRET)
        senders = load_senders(load_settings({}, collector_sources=str(file)))
        assert senders.limits or senders.webhooks
    else:
        assert load_parameters(file) != load_parameters()


@of("python")
def test_every_program_is_one_that_a_test_runs(block: Block) -> None:
    compile(block.text, "shown", "exec")

    assert 1 == len([name for name in PROGRAMS if name in block.text])


ORDERS = """\
order,customer,placed_at,amount,currency
1001,ada,2026-03-01T10:00:00+01:00,"1,204.50",EUR
1002,bob,2026-03-02T10:00:00Z,12.50 EUR,
"""


def test_a_table_of_orders_becomes_events_as_it_is_shown(tmp_path: Path) -> None:
    [program] = [b.text for _, b in SHOWN if "# orders.py" in b.text]
    done = subprocess.run(
        [sys.executable, "-c", program], input=ORDERS, capture_output=True, text=True, check=True
    )
    replay = Replay(load_parameters())
    for number, line in enumerate(done.stdout.encode().splitlines(), 1):
        replay.feed(line, number)

    assert {"ada": 120_450, "bob": 1_250} == {
        customer: row.read(PURCHASES).net_minor for customer, row in replay.rows().items()
    }


def test_the_fingerprint_that_is_shown_is_the_one_that_is_told() -> None:
    [program] = [b.text for _, b in SHOWN if b.language == "python" and "blake2b" in b.text]
    names: dict[str, Any] = {}
    exec(compile(program, "shown", "exec"), names)
    [made] = [one for one in names.values() if callable(one) and one is not blake2b]

    assert Fingerprints("").of("ada").hex() == made("ada")
