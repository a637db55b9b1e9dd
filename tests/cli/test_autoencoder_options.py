"""`--autoencoder`: one by one, or in a file."""

import json
from pathlib import Path

import pytest

from cli.autoencoder_options import read_autoencoder_options
from cli.main import main
from service.domain.autoencoders import AutoencoderSpec
from service.errors import InvalidInput
from tests.engine.autoencoder_files import LAYOUTS, Numbers, write_autoencoder
from tests.engine.small_networks import ARCHITECTURE, write_target


def test_values_are_given_one_by_one_or_in_a_file(tmp_path: Path) -> None:
    whole = AutoencoderSpec("blocks.1.10", "sae.pt", activation="topk", k=32, pre_bias=True)
    options = ["layer=blocks[1].10", "checkpoint=sae.pt", "activation=topk", "k=32", "pre_bias=true"]
    assert read_autoencoder_options(options) == whole
    (tmp_path / "sae.yaml").write_text("checkpoint: sae.pt\nactivation: topk\nk: 32\npre_bias: true\n")
    assert read_autoencoder_options([str(tmp_path / "sae.yaml"), "layer=blocks.1.10"]) == whole
    assert read_autoencoder_options(["layer=1.10", "checkpoint=1"]) == AutoencoderSpec("1.10", "1")
    assert read_autoencoder_options(None) is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["layer"], "autoencoder"),
        (["layer=a", "layer=b"], "autoencoder.layer"),
        (["lair=a"], "autoencoder.lair"),
        (["layer=a"], "autoencoder.checkpoint"),
        (["layer=a", "checkpoint=b", "k=many"], "autoencoder.k"),
        (["layer=a", "checkpoint=s3://bucket/sae.pt"], "autoencoder.checkpoint"),
    ],
)
def test_what_is_wrong_names_the_option(options: list[str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_autoencoder_options(options)
    assert caught.value.field == field


def test_inspect_lists_the_latents_and_says_how_the_file_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = write_target(tmp_path).checkpoint
    path = write_autoencoder(tmp_path / "sae", LAYOUTS["SAELens topk"], Numbers.drawn(96, 24))
    command = ["mammodissect", "inspect", str(target), ARCHITECTURE, "--autoencoder", "layer=layer4.0"]
    monkeypatch.setattr("sys.argv", [*command, "--autoencoder", f"checkpoint={path}", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = json.loads(capsys.readouterr().out)
    assert printed["autoencoder"]["layout"] == "SAELens"
    assert {layer["name"]: layer["units"] for layer in printed["layers"]}["layer4.0.latents"] == 24
