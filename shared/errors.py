"""Errors that end a process at the start with one sentence instead of a traceback."""


class StartupError(Exception):
    """The process cannot start. `problem`: the failure and its reason. `remedy`: a sentence that tells the operator
    what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy
