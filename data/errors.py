"""The one kind of error that is shown to users as a line instead of a traceback."""


class UserError(Exception):
    """Something that the user can mend. The message is one line: what is wrong, and the way out."""

    exit_code = 2
