"""Renders pages and parts of pages from templates, and serves their few files."""

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agents.console.marks import CustomerMarks
from agents.console.pages import customer_lists, figures
from agents.words.decision_lines import words_of
from config import VERSION

_HERE = Path(__file__).parent
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file that pages load; its address changes with its content."""

    content: bytes
    kind: str
    address: str


class Rendering:
    """The templates. All values given to them are escaped."""

    def __init__(self, marks: CustomerMarks) -> None:
        self.assets = {path.name: _asset(path) for path in sorted((_HERE / "static").iterdir())}
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "mark": marks.mark,
            "day_and_time": figures.day_and_time,
            "short_time": figures.short_time,
            "day": figures.day,
            "cell": customer_lists.shown,
            "words": words_of,
        }
        self._environment.globals |= {
            "assets": {name: one.address for name, one in self.assets.items()},
            "version": VERSION,
        }

    def text(self, template: str, **given: Any) -> str:
        """A part of a page."""
        return self._environment.get_template(template).render(**given)

    def page(self, template: str, *, status: int = 200, **given: Any) -> web.Response:
        """A whole page."""
        return web.Response(
            text=self.text(template, **given), status=status, content_type="text/html"
        )


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    mark = sha256(content).hexdigest()[:12]
    return Asset(content, _KINDS[path.suffix], f"/static/{path.name}?v={mark}")
