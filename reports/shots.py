"""Shots in words: they are counted, but a presentation of a stream is the n-th."""

ORDINAL_WORDS = ("presentation",)
"""What is named by its place in a row instead of by how many there are."""


def shots_phrase(shots: int, word: str) -> str:
    """Shots inside a sentence or a title, such as "5-shot" or "2nd presentation"."""
    return ordinal(shots, word) if word in ORDINAL_WORDS else f"{shots}-{word}"


def episode_phrase(ways: int | None, shots: int, word: str) -> str:
    """Ways and shots inside a sentence or a title, such as "5-way 1-shot"; regression has no ways."""
    phrase = shots_phrase(shots, word)
    return f"{ways}-way {phrase}" if ways else phrase


def shots_heading(shots: int, word: str) -> str:
    """Shots by themselves, such as "5 shots" or "2nd presentation"."""
    return ordinal(shots, word) if word in ORDINAL_WORDS else f"{shots} {plural(word, shots)}"


def ordinal(number: int, word: str) -> str:
    """A place in a row, such as "2nd presentation"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} {word}"


def plural(word: str, number: int) -> str:
    """A word in the singular or plural."""
    return word if number == 1 else f"{word}s"
