"""A confirmation of the study of the toy corpus."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import StringIO

import pytest
from rich.console import Console

from study.confirmation.confirm import Confirmation, confirmed_search


@pytest.fixture
def confirming() -> Callable[..., AbstractContextManager[Confirmation]]:
    """Confirm the search in the working folder, without a word; the confirmation is open until the end of a `with`."""

    @contextmanager
    def confirm(**options: int) -> Iterator[Confirmation]:
        console = Console(file=StringIO())
        with confirmed_search("sqlite:///study.db", "toy-lstm", console=console, **{"workers": 1, **options}) as found:
            yield found

    return confirm
