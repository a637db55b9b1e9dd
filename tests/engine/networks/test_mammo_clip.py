import numpy as np
import pytest
import torch
from torch import Tensor

from service.engine.networks.mammo_clip import MammoClip
from tests.engine.published import GOLDEN, images_of, recipe_weights

NOISE = {"eos_features": 2.2e-6, "projection": 2.8e-6, "embedding": 2.8e-6}
TOLERANCE = 20


@pytest.fixture(scope="module")
def network() -> MammoClip:
    """The recipe's b2; its text tower is the same as b5's."""
    network = MammoClip("b2")
    network.load_state_dict(recipe_weights("b2"))
    return network.eval()


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "C_text_8.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_the_text_tower_agrees_with_the_original(network: MammoClip, golden: dict[str, Tensor]) -> None:
    ids, mask = golden["input_ids"].long(), golden["attention_mask"].long()
    with torch.inference_mode():
        features = network.text_encoder(ids, mask)
        projection = network.text_projection(features)
        embedding = network.embed_tokens(ids, mask)
    ours = {"eos_features": features, "projection": projection, "embedding": embedding}
    for name, value in ours.items():
        assert relative_error(value, golden[name]) <= TOLERANCE * NOISE[name], name


def test_padding_does_not_change_a_text(network: MammoClip, golden: dict[str, Tensor]) -> None:
    row, length = 3, 9
    ids, mask = golden["input_ids"][row : row + 1].long(), golden["attention_mask"][row : row + 1].long()
    with torch.inference_mode():
        alone = network.embed_tokens(ids[:, :length], mask[:, :length])
    assert relative_error(alone, golden["embedding"][row : row + 1]) <= TOLERANCE * NOISE["embedding"]


def test_image_embeddings_have_unit_length(network: MammoClip) -> None:
    with torch.inference_mode():
        embeddings = network.embed_images(images_of(["unit/0", "unit/1"], 64, 48))
    assert embeddings.shape == (2, 512)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("model", ["b5", "b2"])
def test_the_network_has_the_published_keys_and_no_other(model: str) -> None:
    with torch.device("meta"):
        network = MammoClip(model)
    import json

    rows = json.loads((GOLDEN / f"keys_{model}.json").read_text())["rows"]
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == {row[0]: row[2] for row in rows}
