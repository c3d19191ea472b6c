"""The commands that a script of a shell really runs."""

import re

_PRINTS = re.compile(r"(?:echo|fail|printf|report|say|skip)\b[^|]*$")
_AFTERWARDS = re.compile(r"(?:^|\s)#.*|(?:\|\||&&|;|\{) (?:fail|say|skip|report)\b.*")


def shell_commands(script: str) -> str:
    """The lines of a shell block, without comments and output; a continued line counts as one."""
    joined = re.sub(r"\s*\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", script, flags=re.MULTILINE))
    lines = (_AFTERWARDS.sub("", line).strip() for line in joined.splitlines())
    return "\n".join(line for line in lines if line and not _PRINTS.match(line))
