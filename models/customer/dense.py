"""Packed states, compressed with a dictionary: bytes that states of the same part are made of.

A state alone is too small to repeat itself. Compressed with what such states have in common, it
takes half the room, for a microsecond or two.
"""

from importlib.resources import files
from threading import Lock

from zstandard import (
    FORMAT_ZSTD1_MAGICLESS,
    ZstdCompressionDict,
    ZstdCompressionParameters,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
)

#: The fastest at which dictionaries still pay; the next ones cost half as much again for a fiftieth
#: of the room.
_LEVEL = -1


class Dense:
    """Compresses what is packed of one part, in the version since which it is kept so.

    The dictionary of a version never changes: without it, nobody could read what was written.
    """

    def __init__(self, code: str, version: int) -> None:
        dictionary = ZstdCompressionDict(dictionary_of(code, version))
        # No checksum, for the part has one, and nothing else that is the same in every frame.
        parameters = ZstdCompressionParameters.from_level(
            _LEVEL,
            format=FORMAT_ZSTD1_MAGICLESS,
            write_content_size=True,
            write_checksum=False,
            write_dict_id=False,
        )
        compressor = ZstdCompressor(dict_data=dictionary, compression_params=parameters)
        decompressor = ZstdDecompressor(dict_data=dictionary, format=FORMAT_ZSTD1_MAGICLESS)
        self._compress, self._decompress = compressor.compress, decompressor.decompress
        # They work outside of the interpreter's lock, and have one workspace each.
        self._lock = Lock()

    def compress(self, packed: bytes) -> bytes:
        """The same bytes for the same bytes."""
        with self._lock:
            return self._compress(packed)

    def decompress(self, content: bytes) -> bytes:
        """What was compressed. Raises ``ValueError`` for anything else."""
        try:
            with self._lock:
                return self._decompress(content)
        except (ZstdError, MemoryError) as error:
            raise ValueError(f"not compressed by this dictionary: {error}") from None


def dictionary_of(code: str, version: int) -> bytes:
    """The bytes of a part's dictionary."""
    return files("models.customer.dictionaries").joinpath(f"{code}-{version}.zdict").read_bytes()
