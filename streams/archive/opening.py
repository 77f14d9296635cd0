"""Opens the archive of a partition that a worker takes over, to continue it."""

from config.settings import Settings
from streams.archive.key_reading import read_keys
from streams.archive.writing import ArchiveWriter
from streams.customer_keys import Secrets
from streams.recovery import Recovered


class ArchiveError(RuntimeError):
    """The archive cannot be used as it is; the message says why and what to do."""


async def open_archive(settings: Settings, number: int, recovered: Recovered) -> ArchiveWriter:
    """The writer for the archive of a recovered partition. Raises `ArchiveError` if the archive
    lacks records that were applied.
    """
    rows, keys, secrets = recovered.rows, recovered.rows.keys, recovered.secrets
    assert keys is not None
    if secrets is None:
        if recovered.state.applied >= 0:
            raise ArchiveError(
                f"the archive of partition {number} is not known to have all that was applied, up "
                f"to offset {recovered.state.applied}: stop the workers, run `keepstream archive "
                f"fill`, then start them; or set KEEPSTREAM_ARCHIVE=off"
            )
        return ArchiveWriter(number, rows, keys, recovered.graves, Secrets.drawn(), is_new=True)
    is_first = recovered.state.applied < 0
    if lost := [one for one in rows.damaged if keys.key_of(one) is None]:
        # The key was lost with its row. A new one wouldn't open what the old one sealed.
        found = (await read_keys(settings, number)).by_customer()
        for customer in lost:
            if (kept := found.get(customer.encode())) is not None:
                keys.set_key(customer, kept)
    return ArchiveWriter(
        number,
        rows,
        keys,
        recovered.graves,
        secrets,
        applied=recovered.state.applied,
        is_first=is_first,
    )
