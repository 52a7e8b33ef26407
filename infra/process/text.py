"""Text from other systems, made safe for a terminal. Pure."""


def printable(text: str) -> str:
    """The text with every character that is not printable replaced.

    Ids, keys, headers and messages come from other systems and may contain control sequences of the terminal.
    """
    return "".join(character if character.isprintable() else "·" for character in text)
