"""`mammodissect inspect` and what `dissect` makes of patterns."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cli.main import main
from service.domain.digests import digest_of_file
from tests.engine.small_networks import ARCHITECTURE, write_target
from tests.pipelines.small_jobs import write_folder


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mammodissect", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_every_layer_is_listed_with_kind_units_shape_and_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_target(tmp_path).checkpoint
    assert command(monkeypatch, "inspect", str(checkpoint), ARCHITECTURE, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["architecture"], printed["sha256"]) == (ARCHITECTURE, digest_of_file(checkpoint))
    layers = {layer["name"]: layer for layer in printed["layers"]}
    first = layers["conv1.0"]
    channels, height, width = first["shape"]
    assert (first["kind"], first["units"]) == ("Conv2d", channels)
    assert first["multiply_adds"] == 3 * 3 * 3 * channels * height * width
    assert [name for name, layer in layers.items() if layer["ends_stage"]] == [
        "act1", "layer1", "layer2", "layer3", "layer4"
    ]  # fmt: skip
    assert layers["fc"]["share"] == 1

    monkeypatch.setenv("COLUMNS", "150")
    assert command(monkeypatch, "inspect", str(checkpoint), ARCHITECTURE) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("layer4.0 ") and line.endswith(" all") for line in lines)
    assert any(line.startswith("layer4 Sequential") and line.endswith("% stages") for line in lines)


def test_what_was_decided_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(write_target(tmp_path).checkpoint)
    checkpoint = tmp_path / "trained.pt"
    torch.save({"state_dict": weights, "state_dict_ema": dict(weights)}, checkpoint)
    asked = ["inspect", str(checkpoint), ARCHITECTURE, "--input", "height=96", "--input", "width=64"]

    assert command(monkeypatch, *asked, "--weights", "state_dict_ema", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["reading"]["entry"], printed["reading"]["chosen"]) == ("state_dict_ema", "given")
    assert printed["input"]["height"] == {"value": 96, "origin": "given"}
    assert printed["layers"][0]["shape"][1:] == [48, 32]
    assert any("mean" in warning for warning in printed["warnings"])

    monkeypatch.setenv("COLUMNS", "400")
    assert command(monkeypatch, *asked) == 0
    said = capsys.readouterr().out
    assert "state_dict_ema" in said
    assert "height 96 (given), width 64 (given)" in said

    assert command(monkeypatch, *asked, "--weights", "ema") != 0
    assert "state_dict_ema" in capsys.readouterr().err


def test_dissect_takes_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path)
    arguments = [
        "dissect", "--checkpoint", str(folder / "target.safetensors"), "--architecture", ARCHITECTURE,
        "--dissector", str(folder / "dissector"), "--probe-set", str(folder / "manifest.csv"), "--draws", "0",
        "--resamples", "0", "--halves", "0", "--out", str(folder / "result.json"),
    ]  # fmt: skip
    assert command(monkeypatch, *arguments, "--layers", "layer[34].?") != 0
    assert "No layer of the target fits" in capsys.readouterr().err
    assert command(monkeypatch, *arguments, "--layers", "layer?.0,fc") == 0
    written = (folder / "result.json").read_text()
    for layer in ("layer1.0", "layer2.0", "layer3.0", "layer4.0", "fc"):
        assert f'"{layer}"' in written


@pytest.mark.parametrize("source", ["s3://bucket/w.pt", "https://host/w.pt?key=hidden", "models:/screening@champion"])
def test_a_source_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    assert command(monkeypatch, "inspect", source, ARCHITECTURE) == 2
    printed = capsys.readouterr().err
    assert "POST /models" in printed
    assert "hidden" not in printed


def test_a_table_is_listed_and_dissected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path)
    table = folder / "scores.csv"
    table.write_text("image,malignant\n" + "".join(f"{row}.png,{row % 4}\n" for row in range(10)))
    assert command(monkeypatch, "inspect", str(table), "table") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "The units of 'table' in order: malignant." in printed
    assert "no network was run" in printed

    out = folder / "scores.json"
    plan = {
        "--checkpoint": table,
        "--architecture": "table",
        "--dissector": folder / "dissector",
        "--probe-set": folder / "manifest.csv",
        "--out": out,
        "--report": folder / "scores.html",
        "--top-k": 4,
        "--draws": 0,
        "--device": "cpu",
    }
    assert command(monkeypatch, "dissect", *(str(word) for pair in plan.items() for word in pair)) == 0
    assert "no network was run" in (folder / "scores.html").read_text()
    assert len(json.loads(out.read_text())["layers"][0]["neurons"]) == 1
