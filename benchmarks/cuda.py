"""The sample dissection and Mammo-CLIP's image tower on the first CUDA device, against the CPU of the same machine."""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.table import Row, race
from cli.samples import lite0_weights
from service.analysis.layer_codec import digest_of_layer
from service.concepts.builtin import builtin_concept_set
from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection, Neuron
from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
from service.engine.networks.efficientnet import B5, EfficientNet
from service.engine.networks.folding import fold_norms
from service.engine.networks.protocols import choose_device
from service.probes.manifest import read_manifest
from service.probes.phantoms.writing import write_phantoms
from service.studies.dissection import DissectionPlan, run_dissection

_PHANTOMS = 160
_LAYERS = ("_blocks.3", "_blocks.10", "_blocks.15")
_HEIGHT, _WIDTH = 1520, 912
_BATCH = 8
_ROUNDS = 3
_NETWORKS = 2
_CLOSE = 0.99
"""Share of the neurons that must have the same label: a sum in another order may turn two labels that are alike."""


def run() -> list[Row]:
    if not torch.cuda.is_available():
        print("This machine has no CUDA device: nothing is measured.")
        return []

    card = torch.cuda.get_device_name(0)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_phantoms(Path(folder), _PHANTOMS, 5, in_processes=True)
        return [*_dissections(manifest, card), _forward(card)]


def _dissections(manifest: Path, card: str) -> Iterator[Row]:
    """The same dissection on the CPU, and twice on CUDA."""
    _dissect(manifest, "cuda:0")
    on_cpu, cpu_s, cpu_stages = _dissect(manifest, "cpu")
    on_cuda, cuda_s, cuda_stages = _dissect(manifest, "cuda:0")
    again, _, _ = _dissect(manifest, "cuda:0")

    name = f"{_PHANTOMS} phantoms, EfficientNet-Lite0 and the phantom dissector, {card} against the CPU"
    yield Row(name, cpu_s, cuda_s, "s", cpu_s / cuda_s)
    for stage, seconds in cuda_stages.items():
        yield Row(f"  of that: {stage}", cpu_stages[stage], seconds, "s", cpu_stages[stage] / seconds)

    total = len(_neurons(on_cpu))
    same = sum(_label(left) == _label(right) for left, right in _pairs(on_cpu, on_cuda))
    yield Row(
        "neurons with the same concept and verdict",
        total,
        same,
        "",
        same / total,
        f">= {_CLOSE}",
        same / total >= _CLOSE,
    )

    digests = [[digest_of_layer(layer) for layer in result.layers] for result in (on_cuda, again)]
    equal = sum(left == right for left, right in zip(*digests, strict=True))
    layers = len(on_cuda.layers)
    yield Row("layers bit for bit the same, CUDA again", layers, equal, "", equal / layers, "1", equal == layers)


def _dissect(manifest: Path, device: str) -> tuple[Dissection, float, dict[str, float]]:
    """The dissection, its seconds without the time to open the networks, and the seconds of its stages."""
    plan = DissectionPlan(
        target=TargetSpec(lite0_weights(), "efficientnet-lite0"),
        dissector=DissectorSpec(PHANTOM_DISSECTOR),
        probe_set=read_manifest(manifest, name="probes"),
        concept_set=builtin_concept_set("bi-rads"),
        options=DissectionOptions(_LAYERS, Method.of(top_k=24)),
        device=device,
        batch_size=_BATCH,
    )
    begun: list[tuple[str, float]] = []

    def note(progress: Progress) -> None:
        is_loading = progress.stage is Stage.LOAD and progress.done < _NETWORKS
        if not is_loading and (not begun or begun[-1][0] != progress.stage):
            begun.append((str(progress.stage), time.perf_counter()))

    result, _ = run_dissection(plan, note)
    ended = time.perf_counter()

    stages: dict[str, float] = {}
    for (stage, start), (_, end) in itertools.pairwise([*begun, ("", ended)]):
        stages[stage] = stages.get(stage, 0.0) + end - start
    return result, ended - begun[0][1], stages


def _neurons(result: Dissection) -> list[Neuron]:
    return [neuron for layer in result.layers for neuron in layer.neurons]


def _pairs(left: Dissection, right: Dissection) -> Iterator[tuple[Neuron, Neuron]]:
    return zip(_neurons(left), _neurons(right), strict=True)


def _label(neuron: Neuron) -> tuple[str | None, bool | None]:
    return (None if neuron.label is None else neuron.label.text), neuron.significant


def _forward(card: str) -> Row:
    device = choose_device("cuda:0")
    torch.manual_seed(0)
    network = EfficientNet(B5).eval()
    fold_norms(network, keep=())
    network.to(memory_format=torch.channels_last)
    images = torch.randn(_BATCH, 3, _HEIGHT, _WIDTH)

    with torch.inference_mode():
        begun = time.perf_counter()
        expected = network(images[:2])
        cpu_s = (time.perf_counter() - begun) / 2

        network.to(device)
        given = images.to(device)

        def forward() -> None:
            network(given)
            torch.cuda.synchronize()

        timing = race(forward, forward, rounds=_ROUNDS)
        difference = (network(given[:2]).cpu() - expected).abs().max() / expected.abs().max()

    cuda_s = timing.measured / _BATCH
    name = f"Mammo-CLIP B5 forward, 1520 x 912, float32, {card} against the CPU (difference {float(difference):.1e})"
    return Row(name, cpu_s, cuda_s, "s/image", cpu_s / cuda_s)
