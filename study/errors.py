"""The error that ends a command with one line and without a traceback."""

from data.errors import UserError


class StudyError(UserError):
    """A study cannot be run as requested. The message is one line: what is wrong, and the way out."""
