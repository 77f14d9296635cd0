"""Takes the pictures of docs/console.md: ``python -m tests.kafka.console_pictures``."""

from pathlib import Path
from tempfile import TemporaryDirectory

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.console import running_browser, standing_shop, take_pictures
from tests.kafka.worker import ROOT


def main() -> None:
    with TemporaryDirectory(prefix="console-") as name:
        folder = Path(name)
        with (
            EmbeddedKafka(folder / "kafka") as kafka,
            EmbeddedValkey(folder / "valkey") as valkey,
            standing_shop(
                kafka.bootstrap_servers, valkey.url, folder, customers=50, days=120
            ) as stand,
            running_browser() as browser,
        ):
            take_pictures(stand, browser, ROOT / "docs/images")


if __name__ == "__main__":
    main()
