"""What ends a command with one line and without a traceback."""

from data.errors import UserError


class StudyError(UserError):
    """A study cannot go on as asked. The message is one line: what is wrong, and the way out."""
