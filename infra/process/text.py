"""Text from outside, fit for a terminal. Pure."""


def printable(text: str) -> str:
    """Nothing that a terminal would obey: ids, keys, headers and messages come from outside and may hold anything."""
    return "".join(character if character.isprintable() else "·" for character in text)
