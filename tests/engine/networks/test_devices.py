"""Where networks run, and in what precision."""

from collections.abc import Iterator

import pytest
import torch

from service.engine.networks.protocols import choose_device
from service.errors import InvalidInput


@pytest.fixture
def precision_of_others() -> Iterator[None]:
    """What an environment or a library may have set: TF32 in matrix products and convolutions."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("precision_of_others")
def test_float32_means_float32_whatever_others_have_set() -> None:
    choose_device("cpu")

    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("setting", ["mps", "cuda:x", "cuda:-1", "gpu", ""])
def test_what_is_no_device_is_refused(setting: str) -> None:
    with pytest.raises(InvalidInput, match="is not a device") as refused:
        choose_device(setting)

    assert refused.value.value == setting
    assert "cuda:N" in str(refused.value.remedy)


def test_a_device_that_this_machine_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="CUDA devices"):
        choose_device(f"cuda:{torch.cuda.device_count()}")
