"""Numbers of things in words."""


def count_of(number: int, thing: str) -> str:
    """A number of things, such as "1 run" and "2 runs".

    Args:
        number: The number.
        thing: The thing in the singular; the plural ends in s.
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"
