"""ONNX files that cannot be used: each says what is wrong with which file, and what helps."""

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from service.domain.digests import digest_of_file
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint, InvalidInput
from service.files import DataRoots
from tests.engine.onnx_files import conv_weights, move_out, write_graph

CPU = torch.device("cpu")


def opened(path: Path, **spec: Any) -> Target:
    return open_target(TargetSpec(path, "onnx", **spec), CPU)


def seen(target: Target) -> torch.Tensor:
    images = torch.ones(2, 3, 8, 8)
    with torch.inference_mode(), pooled_layers(target, ("seen",), "avg") as forward:
        return forward(images)["seen"]


def custom(path: Path) -> None:
    nodes = [helper.make_node("Segment", ["images"], ["seen"], domain="vendor.ai")]
    write_graph(path, nodes, domains=("vendor.ai",))


def custom_in_a_branch(path: Path) -> None:
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Spy", ["images"], ["inner"], domain="evil")], "b", [], [output])
    truth = helper.make_node("Constant", [], ["truth"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    nodes = [truth, helper.make_node("If", ["truth"], ["seen"], then_branch=branch, else_branch=branch)]
    write_graph(path, nodes, domains=("evil",))


def compiled(path: Path) -> None:
    nodes = [
        helper.make_node("EPContext", ["images"], ["seen"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    ]
    write_graph(path, nodes, domains=("com.microsoft",))


def unknown_operator(path: Path) -> None:
    write_graph(path, [helper.make_node("Convolve", ["images"], ["seen"])])


def two_inputs(path: Path) -> None:
    nodes = [helper.make_node("Add", ["cc", "mlo"], ["seen"])]
    write_graph(path, nodes, inputs=("cc", "mlo"), weights={})


def no_output_with_rows(path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["images"], ["seen"], keepdims=0)]
    write_graph(path, nodes)


def cut_short(path: Path) -> None:
    content = write_graph(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def state_dict(path: Path) -> None:
    torch.save({"a": torch.ones(3)}, path)


def newer_opset(path: Path) -> None:
    def edit(model: Any) -> None:
        model.opset_import[0].version = 9999

    write_graph(path, edit=edit)


def data_at(location: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        def edit(model: Any) -> None:
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)

        outside = path.parent.parent / "outside.bin"
        outside.write_bytes(conv_weights().tobytes())
        (path.parent / "link.bin").symlink_to(outside)
        write_graph(path, edit=edit)

    return write


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "custom operator": (custom, "vendor.ai::Segment", "standard operators"),
    "custom operator in a branch": (custom_in_a_branch, "evil::Spy", "standard operators"),
    "compiled program": (compiled, "EPContext", "standard operators"),
    "unknown operator": (unknown_operator, "onnxruntime cannot run the graph", "opset"),
    "opset of the future": (newer_opset, "onnxruntime cannot run the graph", "opset"),
    "two views": (two_inputs, r"2 inputs \(cc, mlo\)", "one input"),
    "three dimensions": (lambda path: write_graph(path, image=("n", 3, 8)), "3 dimensions", "one input"),
    "five channels": (
        lambda path: write_graph(path, image=("n", 5, 8, 8), weights={"kernel": conv_weights(channels=5)}),
        "5 channels",
        "1|3",
    ),
    "integers": (lambda path: write_graph(path, kind=TensorProto.UINT8), "takes uint8", "floating-point"),
    "no rows": (no_output_with_rows, "no float tensor with one row", "dynamic batch"),
    "cut short": (cut_short, "damaged", "Fetch"),
    "garbage": (garbage, "damaged", "Fetch"),
    "empty": (lambda path: path.write_bytes(b""), "damaged", "Fetch"),
    "a state dict": (state_dict, "torch.save", "architecture"),
    "a state dict of safetensors": (lambda path: save_file({"a": torch.ones(3)}, path), "damaged", "export"),
    "data at an absolute path": (data_at("/etc/passwd"), "outside the file's own folder", "whole.onnx"),
    "data above": (data_at("../outside.bin"), "outside the file's own folder", "whole.onnx"),
    "data behind a link": (data_at("link.bin"), "outside the folders", "folder"),
    "data that is missing": (data_at("gone.bin"), "gone.bin does not exist", "together"),
    "no file": (lambda path: None, "does not exist", "path"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, case: str) -> None:
    write, detail, remedy = CASES[case]
    path = tmp_path / "inside" / "network.onnx"
    path.parent.mkdir()
    write(path)
    with pytest.raises(InvalidCheckpoint, match=detail) as refused:
        opened(path, roots=DataRoots.of([tmp_path]))
    assert refused.value.field == "checkpoint"
    assert refused.value.value == str(path)
    assert refused.value.remedy is not None
    assert re.search(remedy, refused.value.remedy)


def test_the_remedy_for_data_elsewhere_helps(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "network.onnx")
    plain = seen(opened(path))
    move_out(path, "weights.bin")
    whole = tmp_path / "elsewhere" / "whole.onnx"
    whole.parent.mkdir()
    onnx.save_model(onnx.load(path), whole)
    assert torch.equal(seen(opened(whole)), plain)


def test_data_beside_the_file_is_a_part_of_the_model(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "network.onnx")
    plain = seen(opened(path))
    move_out(path, "weights.bin")
    target = opened(path, sha256=digest_of_file(path), roots=DataRoots.of([tmp_path]))
    assert torch.equal(seen(target), plain)
    data = {"weights.bin": digest_of_file(tmp_path / "weights.bin")}
    assert target.origin["data"] == data

    opened(path, data=data)
    (tmp_path / "weights.bin").write_bytes(conv_weights(seed=9).tobytes())
    with pytest.raises(DigestMismatch, match=r"weights\.bin.*first opened") as refused:
        opened(path, data=data)
    assert "register" in str(refused.value.remedy)


def test_data_that_is_cut_short(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "network.onnx")
    move_out(path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"1234")
    with pytest.raises(InvalidCheckpoint, match=r"'kernel' lie beyond the end of 'weights\.bin'"):
        opened(path)


def test_another_digest_than_promised(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match="SHA-256"):
        opened(write_graph(tmp_path / "network.onnx"), sha256="0" * 64)


def test_a_disk_that_fails_does_not_blame_the_file(tmp_path: Path) -> None:
    class FailingRoots(DataRoots):
        def open(self, path: Path, *, most: int | None = None) -> Any:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(FileOutOfReach, match="cannot be read now: Input/output error"):
        opened(tmp_path / "w.onnx", roots=FailingRoots())


def test_too_large_for_the_service(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "network.onnx")
    with pytest.raises(InvalidCheckpoint) as refused:
        opened(path, roots=DataRoots((tmp_path,), most=100))
    assert "MAX_FILE_GB" in str(refused.value.remedy)


def test_own_operators_that_are_functions_of_standard_ones(tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        body = [helper.make_node("Relu", ["x"], ["y"])]
        function = helper.make_function("ours", "Step", ["x"], ["y"], body, [helper.make_opsetid("", 20)])
        model.functions.append(function)

    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["mapped"], pads=[1, 1, 1, 1]),
        helper.make_node("Step", ["mapped"], ["seen"], domain="ours"),
    ]
    target = opened(write_graph(tmp_path / "a.onnx", nodes, domains=("ours",), edit=edit))
    assert torch.equal(seen(target), seen(opened(write_graph(tmp_path / "b.onnx"))))


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    path = write_graph(tmp_path / "network.onnx")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInput, match=f"needs the package '{module}'") as refused:
        opened(path)
    assert "mammo-clip-dissect-service[onnx]" in str(refused.value.remedy)


def test_a_quantised_network_has_no_null(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["kernel", "scale"], ["plain"]),
        helper.make_node("Conv", ["images", "plain"], ["seen"]),
    ]
    weights: dict[str, np.ndarray[Any, Any]] = {
        "kernel": np.ones((4, 3, 3, 3), np.int8),
        "scale": np.array(0.1, np.float32),
    }
    path = write_graph(tmp_path / "network.onnx", nodes, weights=weights)
    assert seen(opened(path)).shape == (2, 4)
    with pytest.raises(InvalidCheckpoint, match="cannot be shuffled: it is quantised") as refused:
        opened(path, shuffled=1)
    assert "without `shuffled`" in str(refused.value.remedy)
