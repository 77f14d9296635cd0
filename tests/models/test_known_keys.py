"""Keys that a shop always sends are known; invented keys do not fill the memory."""

import orjson
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from models.catalogue import KIND_BY_NAME
from models.events.known_keys import _LETTERS_MAX, _SETS_MAX
from models.events.properties import PropertyReader, _Object
from tests.models.lines import START_MS

CART = KIND_BY_NAME["Product Added"].declared.shape
ORDER = KIND_BY_NAME["Order Completed"].declared.shape


def searches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The texts that are searched for other spellings from now on."""
    searched: list[bytes] = []
    search = _Object._is_all

    def noted(self: _Object, properties: object, raw: bytes) -> bool:
        searched.append(raw)
        return search(self, properties, raw)

    monkeypatch.setattr(_Object, "_is_all", noted)
    return searched


def test_little_of_what_a_shop_sends_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched, read = searches(monkeypatch), 0
    shop = ShopConfig(seed=5, customers=30, start_ms=START_MS, days=60, malformed=0.0)
    for record in simulate(shop):
        event = orjson.loads(record.value)
        kind = KIND_BY_NAME.get(event.get("event"))
        if kind is not None and kind.reader is not None and "properties" in event:
            kind.reader.read(orjson.dumps(event["properties"]))
            read += 1
    assert read > 300
    assert len(searched) < 0.05 * read


@pytest.mark.parametrize(
    "properties",
    [
        {"Order Id": "o-1", "total": 9.0},
        {"order_id": "o-1", "total": 9.0, "orderCurrency": "USD"},
        {"order_id": "o-1", "total": 9.0, "products": [{"sku": "a", "Currency": "USD"}]},
        {"order_id": "o-1", "total": 9.0, "meta": {"x": 1}},
        {"order_id": "o-1", "total": 9.0, "note": "{"},
        {"order_id": "o-1", "total": 9.0, "products": [{"Product Id": "p-1"}]},
    ],
)
def test_what_may_say_more_is_searched_each_time(
    properties: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, reader, raw = searches(monkeypatch), PropertyReader(ORDER), orjson.dumps(properties)
    # The second time its keys are known.
    for _ in range(2):
        searched.clear()
        reader.read(raw)
        assert raw in searched


def test_usual_keys_are_known_after_many_that_were_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = PropertyReader(CART)
    for number in range(_SETS_MAX):
        reader.read(orjson.dumps({f"k{number}": 1, "product_id": "p-1"}))
    searched = searches(monkeypatch)
    assert "p-1" == reader.read(b'{"product_id":"p-1"}').product_id
    assert [] == searched


def test_made_up_keys_fill_no_memory() -> None:
    reader = PropertyReader(CART)
    judged = reader._object._keys._judged
    for number in range(2 * _SETS_MAX):
        assert "p-1" == reader.read(orjson.dumps({f"k{number}": 1, "product_id": "p-1"})).product_id
    assert len(judged) == _SETS_MAX
    assert "p-1" == reader.read(orjson.dumps({"Product Id": "p-1"})).product_id

    reader = PropertyReader(CART)
    assert (
        "p-1" == reader.read(orjson.dumps({"k" * _LETTERS_MAX: 1, "product_id": "p-1"})).product_id
    )
    assert not reader._object._keys._judged
