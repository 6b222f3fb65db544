"""On which device a study computes."""

import pytest
import torch

from study.devices import find_study_device
from study.errors import StudyError


def test_there_is_always_a_device() -> None:
    assert find_study_device("auto").type in ("cpu", "cuda", "mps")
    assert find_study_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(
        StudyError, match=r"^Device 'cuda' is not available here \(there is: .*cpu\)\. Use --device auto"
    ):
        find_study_device("cuda")
