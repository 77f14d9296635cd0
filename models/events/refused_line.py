"""A refused line together with its refusal, to be edited and published again."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
from msgspec import Struct

from models.events.foreign import UNREADABLE
from models.events.rejection import Rejected

_MARK = b'"refused":'
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ANY_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Note(Struct, frozen=True):
    """Why a line was refused, and its line number."""

    line: int
    reason: str
    path: str
    detail: str
    fix: str


class _Wrapped(Struct, frozen=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True):
    """A line that is no JSON object: ``raw`` as text, or in base64 if it is no text."""

    refused: Note
    raw: str | None = None
    raw_base64: str | None = None


_NOTE = msgspec.json.Decoder(Note)
_WRAPPED = msgspec.json.Decoder(_Wrapped)


def refused_line(raw: bytes, number: int, rejected: Rejected) -> bytes:
    """The line with the field ``refused`` added at its end. A line that is no object is wrapped in
    one, as its field ``raw``.
    """
    note = Note(number, str(rejected.reason), rejected.path, rejected.detail, rejected.fix)
    body = raw.removeprefix(_BYTE_ORDER_MARK).strip()
    if _is_object(body):
        comma = b"," if body[1:-1].strip() else b""
        return body[:-1] + comma + _MARK + msgspec.json.encode(note) + b"}"
    try:
        return msgspec.json.encode(_Wrapped(note, raw=raw.decode()))
    except UnicodeDecodeError:
        return msgspec.json.encode(_Wrapped(note, raw_base64=b64encode(raw).decode()))


def original(line: bytes) -> bytes:
    """The line without what `refused_line` added; other lines stay unchanged."""
    if _MARK not in line:
        return line
    body = line.strip()
    at = body.rfind(_MARK)
    if body.startswith(b"{") and _read(_NOTE, body[at + len(_MARK) : -1]) is not None:
        fields = body[:at]
        before = fields.rstrip()
        return (before[:-1] if before.endswith(b",") else fields) + b"}"
    wrapped = _read(_WRAPPED, body)
    if wrapped is None or (wrapped.raw is None) == (wrapped.raw_base64 is None):
        return line
    try:
        return b64decode(wrapped.raw_base64) if wrapped.raw is None else wrapped.raw.encode()
    except ValueError:
        return line


def _is_object(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return _read(_ANY_OBJECT, body) is not None


def _read(decoder: "msgspec.json.Decoder[Any]", content: bytes) -> Any:
    try:
        return decoder.decode(content)
    except UNREADABLE:
        return None
