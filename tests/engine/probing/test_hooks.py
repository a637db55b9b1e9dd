"""Layers by name, pooled outputs worked out by hand, and no hook left behind."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from service.domain.methods import Pooling
from service.engine.probing.hooks import pool_output, pooled_layers
from service.engine.probing.layouts import UNITS_FIRST, Layout
from service.engine.probing.listing import LayerInfo, list_layers
from service.engine.probing.tokens import Tokens
from service.errors import InvalidInput, LayerWithoutTensor, UnknownLayer
from tests.engine.toys import Conv, hooks_left, target_of

# One image, its first channel [[1, 2], [3, 6]]: mean 3, maximum 6.
IMAGE = torch.zeros(1, 3, 2, 2)
IMAGE[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 6.0]])

MAP = Layout(module=UNITS_FIRST, library=None, grown=None, tokens=None)
REGISTER = Layout(module=None, library=None, grown=None, tokens=Tokens(has_class=False, registers=1))


class Returning(nn.Module):
    """Its layer returns whatever it is told to, after having been called as often as it is told to."""

    def __init__(self, output: object, calls: int = 1) -> None:
        super().__init__()
        self.layer = Constant(output)
        self.calls = calls

    def forward(self, images: Tensor) -> Tensor:
        for _ in range(self.calls):
            self.layer(images)
        return images


class WithClassToken(Returning):
    """Its tokens begin with a class token."""

    def __init__(self, output: Tensor) -> None:
        super().__init__(output)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, output.shape[-1]))


class Constant(nn.Module):
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, _images: Tensor) -> object:
        return self.output


class Crashing(Conv):
    def forward(self, images: Tensor) -> Tensor:
        super().forward(images)
        raise RuntimeError("crashed inside the model")


class InPlace(Conv):
    """Overwrites its convolution's output, as `nn.ReLU(inplace=True)` does."""

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.blocks[0](images)
        return output.zero_()


def forward_once(module: nn.Module, layers: Sequence[str], pooling: Pooling = "avg") -> dict[str, list[list[float]]]:
    target = target_of(module, torch.device("cpu"))
    with pooled_layers(target, layers, pooling) as forward, torch.inference_mode():
        return {layer: output.tolist() for layer, output in forward(IMAGE).items()}


@pytest.mark.parametrize(
    ("pooling", "convolution", "activation"),
    [
        # unit 0 is the pixel, unit 1 is 2 - pixel = [[1, 0], [-1, -4]], after ReLU [[1, 0], [0, 0]]
        ("avg", [3.0, -1.0], [3.0, 0.25]),
        ("max", [6.0, 1.0], [6.0, 1.0]),
    ],
)
def test_feature_maps_are_pooled_over_space(
    pooling: Pooling, convolution: list[float], activation: list[float]
) -> None:
    outputs = forward_once(Conv([1, -1], [0, 2]), ["blocks.1", "blocks.0"], pooling)
    assert outputs == {"blocks.1": [activation], "blocks.0": [convolution]}
    assert list(outputs) == ["blocks.1", "blocks.0"]


def test_tokens_give_the_class_token_and_features_stay() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [8.0, 9.0]]])
    assert forward_once(WithClassToken(tokens), ["layer"]) == {"layer": [[1.0, 2.0]]}
    assert forward_once(Returning(tokens[:, 1]), ["layer"]) == {"layer": [[8.0, 9.0]]}


@pytest.mark.parametrize(("pooling", "expected"), [("avg", [4.0, 7.0]), ("max", [6.0, 9.0])])
def test_tokens_without_class_token_are_pooled_but_for_registers(pooling: Pooling, expected: list[float]) -> None:
    tokens = torch.tensor([[[100.0, 100.0], [2.0, 9.0], [6.0, 5.0]]])
    pooled = pool_output(tokens, pooling, REGISTER, 2, 2)
    assert pooled is not None
    assert pooled.tolist() == [expected]
    assert pool_output(tokens[:, :1], pooling, REGISTER, 2, 2) is None


def test_outputs_of_lower_precision_are_pooled_in_float32() -> None:
    pooled = pool_output(torch.ones(1, 2, 3, 3, dtype=torch.bfloat16), "avg", MAP, 2, 2)
    assert pooled is not None
    assert pooled.dtype == torch.float32


def test_an_output_is_pooled_before_a_later_module_overwrites_it() -> None:
    assert forward_once(InPlace([1], [0]), ["blocks.0"]) == {"blocks.0": [[3.0]]}


@pytest.mark.parametrize("shape", [(1, 3), (1, 4, 3)])
def test_features_and_tokens_are_copied_before_a_later_module_overwrites_them(shape: tuple[int, ...]) -> None:
    class Overwriting(WithClassToken):
        def forward(self, images: Tensor) -> Tensor:
            self.layer(images).zero_()
            return images

    assert forward_once(Overwriting(torch.full(shape, 2.0)), ["layer"]) == {"layer": [[2.0, 2.0, 2.0]]}


@pytest.mark.parametrize("name", ["image_encoder.blocks[0]", "image_encoder.blocks.0"])
def test_both_spellings_name_the_same_layer(name: str) -> None:
    target = target_of(Conv([1], [0]), torch.device("cpu"), prefix="image_encoder.")
    with pooled_layers(target, [name], "avg") as forward:
        assert forward(IMAGE)[name].tolist() == [[3.0]]


@pytest.mark.parametrize("name", ["image_encoder.blocks[2]", "blocks.0", "image_encoder.block.0", ""])
def test_an_unknown_layer_is_refused_with_near_matches(name: str) -> None:
    target = target_of(Conv([1], [0]), torch.device("cpu"), prefix="image_encoder.")
    with pytest.raises(UnknownLayer) as caught, pooled_layers(target, [name], "avg"):
        pass
    assert "image_encoder.blocks" in str(caught.value.remedy)
    assert caught.value.field == "layers"
    assert hooks_left(target.module) == 0


@pytest.mark.parametrize(("layers", "said"), [([], "names no layer"), (["blocks.0", "blocks[0]"], "twice")])
def test_no_layer_and_one_layer_twice_are_refused(layers: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        forward_once(Conv([1], [0]), layers)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Returning(()), "returns a tuple"),
        (Returning({"loss": None}), "returns a dict"),
        (Returning(None), "returns a NoneType"),
        (Returning(torch.zeros(1, 2, dtype=torch.int64)), r"returns a int64 tensor of shape \[1, 2\]"),
        (Returning(torch.zeros(1)), r"returns a float32 tensor of shape \[1\]"),
        (Returning(torch.zeros(1, 2, 3, 4, 5)), "shape"),
        (Returning(torch.zeros(1, 2, 0, 4)), "shape"),
        (Returning(torch.zeros(1, 4, 2)), "no token is known to be the class token"),
        (Returning(torch.zeros(4, 2)), "returns 4 rows for 1 images"),
        (Returning(torch.zeros(1, 2), calls=0), "does not run"),
        (Returning(torch.zeros(1, 2), calls=2), "runs more than once"),
    ],
)
def test_a_layer_without_one_tensor_is_refused_and_leaves_no_hook(module: nn.Module, said: str) -> None:
    with pytest.raises(LayerWithoutTensor, match=said):
        forward_once(module, ["layer"])
    assert hooks_left(module) == 0


def test_no_hook_is_left_after_success_or_a_crash_inside_the_model() -> None:
    sound, crashing = Conv([1], [0]), Crashing([1], [0])
    target = target_of(sound, torch.device("cpu"))
    with pooled_layers(target, ["blocks.0"], "avg"):
        assert hooks_left(sound) == 1
    assert hooks_left(sound) == 0
    with pytest.raises(RuntimeError, match="crashed inside"):
        forward_once(crashing, ["blocks.0"])
    assert hooks_left(crashing) == 0


def test_passes_that_are_not_ours_are_not_captured() -> None:
    target = target_of(Conv([1], [0]), torch.device("cpu"))
    with pooled_layers(target, ["blocks.0"], "avg") as forward:
        target.module(torch.zeros(5, 3, 2, 2))  # a dissector that shares the module
        assert forward(IMAGE)["blocks.0"].tolist() == [[3.0]]
        target.module(torch.zeros(5, 3, 2, 2))
        assert forward(2 * IMAGE)["blocks.0"].tolist() == [[6.0]]


def test_layers_are_listed_with_units_in_forward_order(device: torch.device) -> None:
    target = target_of(Conv([1, -1], [0, 2]), device, prefix="net.")
    assert list_layers(target) == (LayerInfo("net.blocks.0", 2, "Conv2d"), LayerInfo("net.blocks.1", 2, "ReLU"))
    assert hooks_left(target.module) == 0


def test_layers_that_cannot_be_dissected_are_not_listed() -> None:
    for module in (
        Returning(()),
        Returning(torch.zeros(2, 2), calls=2),
        Returning(torch.zeros(3, 2)),
    ):
        assert list_layers(target_of(module, torch.device("cpu"))) == ()
    assert len(list_layers(target_of(Returning(torch.zeros(2, 2)), torch.device("cpu")))) == 1
