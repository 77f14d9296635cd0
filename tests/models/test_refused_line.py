"""A refused line carries its refusal, and without it is the original line."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.refused_line import original, refused_line
from models.events.rejection import Reason, Rejected

REJECTED = Rejected(Reason.WRONG_TYPE, "$.properties.revenue", "Expected `float`, got `str`", "fix")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"page","userId":"c1"}',
        b'{"type":"page", "refused" : 7, "userId":"c\\u0031" }',
        b'{"name":"\\ud800 and \\u0000","size":1e400,"size":2}',
        b"{}",
        b"{ }",
        b"",
        b"{",
        b"[1]",
        b"7,2026-03-01,caf\xe9",
        b'{"name":"\xff"}',
        b"\xef\xbb\xbfnot json",
        b'{"refused":{"line":1},"raw":"x"}',
        b'{"refused":{"line":1,"reason":"","path":"","detail":"","fix":""},"raw":7}',
    ],
)
def test_a_line_can_be_had_as_it_came(raw: bytes) -> None:
    kept = refused_line(raw, 12, REJECTED)

    assert raw == original(kept)
    note: dict[str, Any] = msgspec.json.decode(kept)["refused"]
    assert (12, "wrong_type", "$.properties.revenue") == (
        note["line"],
        note["reason"],
        note["path"],
    )
    assert ("Expected `float`, got `str`", "fix") == (note["detail"], note["fix"])
    assert b"\n" not in kept


def test_a_byte_order_mark_stays_at_the_beginning_of_its_file() -> None:
    assert b"{}" == original(refused_line(b"\xef\xbb\xbf{}", 1, REJECTED))


@given(st.binary().filter(lambda raw: b"\n" not in raw and not raw.startswith(b"\xef\xbb\xbf")))
def test_whatever_was_refused_comes_back(raw: bytes) -> None:
    assert raw.strip() == original(refused_line(raw, 1, REJECTED)).strip()


@given(st.binary())
def test_a_line_that_was_never_refused_stays_as_it_is(raw: bytes) -> None:
    assert raw == original(raw)
    assert b'{"refused":' + raw == original(b'{"refused":' + raw)


def test_a_line_mended_by_a_program_that_writes_json_anew_is_read() -> None:
    kept = msgspec.json.decode(refused_line(b'{"type":"page","n":"x"}', 1, REJECTED))
    mended = msgspec.json.format(msgspec.json.encode({**kept, "n": 1}), indent=0)

    assert {"type": "page", "n": 1} == msgspec.json.decode(original(mended))
