"""A refusal of personalisation, and its end, are no news of what a customer does: nobody is told
that they came into a segment or left it, and they are counted nowhere that goes by who they are.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.consent import CONSENT
from models.customer.consent_state import ConsentDefaults, ConsentParameters
from models.customer.registry import FACTS
from models.customer.risk import RISK
from models.customer.scene import Scene
from models.customer.segments import SEGMENTS
from models.decisions.trigger import Trigger
from models.events.event import Event
from models.events.times import iso
from tests.models.lines import PARAMETERS, at, happened
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_persons import logged_in
from tests.models.test_segments import Life, declared, order

SEGMENTED = """\
segments:
  - name: at-risk
    version: 1
    when: churn_band != ''
    announce: true
  - name: asking
    version: 1
    when: '"at-risk" in segments and orders >= 1'
    announce: true
    backfill: true
  - name: scored
    version: 1
    when: churn_probability >= 0
    announce: true
    hold: 1h
  - name: stale
    version: 1
    when: churn_band_days >= 2
    announce: true
  - name: bought
    version: 1
    when: orders >= 2
    announce: true
  - name: refusing
    version: 1
    when: consent_personalisation == 0
    announce: true
"""
#: What hangs on who the customer is.
PERSONAL = {"at-risk", "asking", "scored", "stale"}


def shop(directory: Path, parameters: Parameters = PARAMETERS) -> Parameters:
    return declared(directory, SEGMENTED, parameters)


def lived(directory: Path, parameters: Parameters = PARAMETERS) -> Life:
    life = Life(shop(directory, parameters)).then(order(at(0, hours=10), "A")).until(at(10))
    assert PERSONAL == set(life.names)
    life.effects.clear()
    return life


def word(name: str, days: float) -> Event:
    return happened(name, at(days), purpose="personalisation")


def test_whoever_refuses_to_be_profiled_is_told_of_by_nothing_but_that(tmp_path: Path) -> None:
    life = lived(tmp_path)

    life.then(word("Consent Revoked", 11)).until(at(40))
    assert ["refusing"] == life.names
    assert [("segment-refusing-entered", iso(at(11)))] == life.told

    life.then(word("Consent Granted", 41))
    # The score is known at once, the band with the next look, as of somebody new.
    assert ["scored"] == life.names
    assert [("segment-refusing-left", iso(at(41)))] == life.told[1:]
    life.until(at(60))
    assert PERSONAL == set(life.names)
    assert [] == [kind for kind, _ in life.told if "left" in kind and "refusing" not in kind]


def test_what_an_order_does_that_says_so_itself_is_news(tmp_path: Path) -> None:
    life = lived(tmp_path)

    life.then(replace(order(at(11), "B"), consent=(("personalisation", False),)))

    assert {"bought", "refusing"} == set(life.names)
    assert ["segment-bought-entered", "segment-refusing-entered"] == sorted(k for k, _ in life.told)


def test_a_grant_that_expires_is_no_news_either(tmp_path: Path) -> None:
    section = replace(
        PARAMETERS.of(ConsentParameters),
        default=ConsentDefaults("granted", "denied", "granted"),
        expires=30 * DAY_MS,
    )
    life = Life(shop(tmp_path, PARAMETERS.with_section(section)))
    life.then(word("Consent Granted", 0), order(at(0, hours=10), "A")).until(at(10))
    assert PERSONAL == set(life.names)
    life.effects.clear()

    life.until(at(40))

    assert ["refusing"] == life.names
    assert [("segment-refusing-entered", iso(at(30)))] == life.told


def test_what_comes_after_a_refusal_or_a_grant_is_news_again(tmp_path: Path) -> None:
    life = Life(shop(tmp_path)).then(word("Consent Revoked", 0), word("Consent Granted", 0.1))
    life.then(order(at(0, hours=10), "A")).until(at(10))

    assert {f"segment-{name}-entered" for name in PERSONAL} < {kind for kind, _ in life.told}


def test_a_refusal_that_an_id_brings_along_is_no_news(tmp_path: Path) -> None:
    them = Deployment(1, shop(tmp_path, LINKING))
    them.tell(
        said_by("Order Completed", at(0, hours=10), user="ada", order_id="o", revenue=50),
        said_by("Consent Revoked", at(1), visitor="anon-1", purpose="personalisation"),
    )
    them.tick(at(10))
    known = len(them.effects)

    them.tell(logged_in(11 * 24 * 60, "ada", "anon-1"))
    them.tick(at(12))

    news = [one for one in them.effects[known:] if isinstance(one, Trigger)]
    kinds = {one.kind for one in news if one.kind.startswith("segment-")}
    # Their id was in `refusing` already.
    assert set() == kinds
    row = them.row("ada")
    assert row is not None
    assert ["refusing"] == row.read(SEGMENTS).names()
    assert "" == row.read(RISK).band
    assert 0 == sum(n for (part, key, _), n in them.sums().items() if key.startswith("band:"))


@pytest.mark.parametrize("silent_days", [10, 500], ids=["is looked at", "is looked at no more"])
def test_whoever_refuses_is_in_no_band_at_once(silent_days: int, tmp_path: Path) -> None:
    life = Life(shop(tmp_path)).then(order(at(0, hours=10), "A")).until(at(silent_days))
    assert "" != life.row.read(RISK).band

    life.then(word("Consent Revoked", silent_days))

    assert "" == life.row.read(RISK).band


def test_every_fact_that_a_refusal_hides_says_so(tmp_path: Path) -> None:
    scenes = []
    for purpose in ("marketing", "personalisation"):
        life, orders = Life(PARAMETERS), [order(at(7 * n, hours=10), f"o-{n}") for n in range(30)]
        life.then(*orders).until(at(240))
        life.then(happened("Consent Revoked", at(241), purpose=purpose))
        scenes.append(Scene(life.row, "ada", at(241), life.within.present))
    known, refused = scenes

    hidden = {name for name in FACTS if str(known[name]) != str(refused[name])}
    hidden -= {name for name in FACTS if name.startswith("consent_marketing")}

    assert {"consent_personalisation"} == {name for name in hidden if not FACTS[name].is_personal}
    unknown = {"", "nan"}
    personal = {name for name, fact in FACTS.items() if fact.is_personal}
    assert {"churn_band", "churn_probability", "clv"} < personal
    assert all(str(refused[name]) in unknown for name in personal)


def test_what_hangs_on_hidden_facts_is_known_by_its_condition(tmp_path: Path) -> None:
    watch = Life(shop(tmp_path)).within.plan.watch

    assert PERSONAL == {segment.name for segment in watch.personal}
    # Else nobody would have looked at them by the file of before.
    assert PERSONAL < {segment.name for segment in watch.heard_by([CONSENT.name])}
