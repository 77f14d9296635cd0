"""Recognizes misspelt event names: typing errors, and another form of the verb."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final

#: The most words of a name that may differ from the known name's, each by one edit.
_SLIPS_MAX: Final = 2
#: Shorter words must match except for their ending: "card" is no misspelling of "cart".
_WORD_LENGTH_MIN: Final = 5
#: Without blanks only longer names are compared, for the same reason.
_JOINED_LENGTH_MIN: Final = 12
_STEM_LENGTH_MIN: Final = 3
#: Names with more words are never known ones.
_NAME_WORDS_MAX: Final = 8
_WORDS_MAX: Final = 4_096
_ENDINGS = ("ation", "ion", "ing", "ed", "es", "s", "e")
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Spellings:
    """Finds the nearest known name; ``known``: the meaning of each known spelling."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._by_words = {words_of(name): meant for name, meant in known.items()}
        self._joined = {"".join(words): words for words in self._by_words}
        words = list(dict.fromkeys(chain.from_iterable(self._by_words)))
        self._by_stem: dict[str, list[str]] = {}
        for word in words:
            self._by_stem.setdefault(_stem(word), []).append(word)
        self._word_slips = _Slips(word for word in words if len(word) >= _WORD_LENGTH_MIN)
        self._joined_slips = _Slips(one for one in self._joined if len(one) >= _JOINED_LENGTH_MIN)
        # Words repeat far more often than whole names do.
        self._likely = lru_cache(_WORDS_MAX)(self._likely_words)

    def nearest(self, name: str) -> str | None:
        """The meaning of the name nearest to ``name``; None if none is near."""
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
        """The words that may be meant if exactly ``slips`` of ``words`` are misspelt."""
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
        """The words of known names, other than ``word`` itself, that it may mean."""
        stem = _stem(word)
        same = self._by_stem.get(stem, ()) if len(stem) >= _STEM_LENGTH_MIN else ()
        found = dict.fromkeys((*same, *self._word_slips.of(word)))
        return tuple(known for known in found if known != word)


class _Slips:
    """Finds the words that are one edit away from another; all have 4 letters or more.

    One edit leaves either the first two letters or the last two unchanged, so only words that share
    them are compared.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._by_end: dict[str, list[str]] = {}
        for word in words:
            for end in _ends(word):
                self._by_end.setdefault(end, []).append(word)

    def of(self, word: str) -> Iterator[str]:
        """The words at most one edit away from ``word``, possibly including itself."""
        for end in _ends(word):
            yield from (one for one in self._by_end.get(end, ()) if _is_one_edit(word, one))


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case; a capital letter inside a word starts a new one."""
    return tuple(word.lower() for word in _WORD.findall(_CAMEL.sub(" ", name)))


def _ends(word: str) -> tuple[str, str]:
    return f"{word[:2]}-", f"-{word[-2:]}"


def _stem(word: str) -> str:
    """The word without its ending of number or tense: "complete" and "completed" have one stem."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_LENGTH_MIN:
            word = word.removesuffix(ending)
            break
    if len(word) > _STEM_LENGTH_MIN and word[-1] == word[-2]:
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") else word


def _is_one_edit(one: str, other: str) -> bool:
    """Whether one letter added, removed or replaced, or two swapped, make one the other."""
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
