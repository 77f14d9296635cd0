"""Names that are nearly a known one: slips of the keyboard, and another form of the verb."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final

#: At most so many words of a name may differ from the known one's, each by one edit.
_SLIPS_MAX: Final = 2
#: Shorter words must be right but for an ending: "card" is no slip of "cart".
_WORD_LENGTH_MIN: Final = 5
#: Without blanks only longer names are compared, for the same reason.
_JOINED_LENGTH_MIN: Final = 12
_STEM_LENGTH_MIN: Final = 3
#: A name of more words is none of ours.
_NAME_WORDS_MAX: Final = 8
_WORDS_MAX: Final = 4_096
_ENDINGS = ("ation", "ion", "ing", "ed", "es", "s", "e")
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Spellings:
    """Finds the known name that another is nearly; ``known``: what each known spelling means."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._by_words = {words_of(name): meant for name, meant in known.items()}
        self._joined = {"".join(words): words for words in self._by_words}
        words = list(dict.fromkeys(chain.from_iterable(self._by_words)))
        self._by_stem: dict[str, list[str]] = {}
        for word in words:
            self._by_stem.setdefault(_stem(word), []).append(word)
        self._word_slips = _Slips(word for word in words if len(word) >= _WORD_LENGTH_MIN)
        self._joined_slips = _Slips(one for one in self._joined if len(one) >= _JOINED_LENGTH_MIN)
        # The words of names repeat far more often than names do.
        self._likely = lru_cache(_WORDS_MAX)(self._likely_words)

    def nearest(self, name: str) -> str | None:
        """What the name nearest to ``name`` means; None if none is near."""
        words = words_of(name)
        if 1 < len(words) <= _NAME_WORDS_MAX:
            for slips in range(_SLIPS_MAX + 1):
                for likely in self._with_slips(words, slips):
                    if (meant := self._by_words.get(likely)) is not None:
                        return meant
        for joined in self._joined_slips.of("".join(words)):
            if len(self._joined[joined]) != len(words):
                return self._by_words[self._joined[joined]]
        return None

    def _with_slips(self, words: tuple[str, ...], slips: int) -> Iterator[tuple[str, ...]]:
        """The words that may be meant if exactly so many of ``words`` are slips."""
        if len(words) < slips or not words:
            if not words:
                yield ()
            return
        for rest in self._with_slips(words[1:], slips):
            yield (words[0], *rest)
        if slips and (likely := self._likely(words[0])):
            for rest in self._with_slips(words[1:], slips - 1):
                yield from ((one, *rest) for one in likely)

    def _likely_words(self, word: str) -> tuple[str, ...]:
        """The words of known names that this one may be meant to be, and is not."""
        stem = _stem(word)
        same = self._by_stem.get(stem, ()) if len(stem) >= _STEM_LENGTH_MIN else ()
        found = dict.fromkeys((*same, *self._word_slips.of(word)))
        return tuple(known for known in found if known != word)


class _Slips:
    """Finds the words that one edit makes of another; all have 4 letters or more.

    One edit leaves the first two letters as they are, or the last two, so only words that share
    them are compared.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._by_end: dict[str, list[str]] = {}
        for word in words:
            for end in _ends(word):
                self._by_end.setdefault(end, []).append(word)

    def of(self, word: str) -> Iterator[str]:
        """The words that are ``word`` but for one edit; it may be one of them itself."""
        for end in _ends(word):
            yield from (one for one in self._by_end.get(end, ()) if _is_one_edit(word, one))


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case; a capital within a word begins another."""
    return tuple(word.lower() for word in _WORD.findall(_CAMEL.sub(" ", name)))


def _ends(word: str) -> tuple[str, str]:
    return f"{word[:2]}-", f"-{word[-2:]}"


def _stem(word: str) -> str:
    """The word without an ending of number or tense: "complete" and "completed" have one stem."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_LENGTH_MIN:
            word = word.removesuffix(ending)
            break
    if len(word) > _STEM_LENGTH_MIN and word[-1] == word[-2]:
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") else word


def _is_one_edit(one: str, other: str) -> bool:
    """Whether one letter more, less or another, or two neighbours swapped, make one the other."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    start = 0
    while start < len(one) and one[start] == other[start]:
        start += 1
    if len(one) < len(other):
        return one[start:] == other[start + 1 :]
    if one[start + 1 :] == other[start + 1 :]:
        return True
    swapped = other[start + 1 : start + 2] + other[start : start + 1]
    return one[start : start + 2] == swapped and one[start + 2 :] == other[start + 2 :]
