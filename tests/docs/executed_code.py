"""Finds the commands that a shell script really runs."""

import re

_PRINTS = re.compile(r"(?:echo|fail|printf|report|say|skip)\b[^|]*$")
_AFTERWARDS = re.compile(r"(?:^|\s)#.*|(?:\|\||&&|;|\{) (?:fail|say|skip|report)\b.*")


def shell_commands(script: str) -> str:
    """Returns the commands of a shell script, without comments and output. A continued line is joined to one line."""
    joined = re.sub(r"\s*\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", script, flags=re.MULTILINE))
    lines = (_AFTERWARDS.sub("", line).strip() for line in joined.splitlines())
    return "\n".join(line for line in lines if line and not _PRINTS.match(line))
