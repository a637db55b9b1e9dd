import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from service.domain.digests import digest_of_directory
from service.domain.models import DissectorSpec
from service.domain.preprocessing import MAMMO_CLIP
from service.engine.dissectors import open_dissector
from service.engine.dissectors.directory import DissectorFolder
from service.engine.networks.protocols import Dissector
from service.errors import (
    DigestMismatch,
    DissectError,
    FileOutOfReach,
    InvalidCheckpoint,
    InvalidDissector,
    UnsafeCheckpoint,
)
from service.files import DataRoots, WrittenMeanwhile
from tests.engine.mobile_clip import SMALL_MOBILE_CLIP, as_apple_publishes
from tests.engine.published import images_of, pretraining_file, recipe_weights, vocabulary

CPU = torch.device("cpu")
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
MAMMO_CLIP_CONFIG = {"kind": "mammo-clip", "checkpoint": "model.tar", "vocab": "vocab.txt"}
OPEN_CLIP_CONFIG = {"kind": "open_clip", "checkpoint": "clip.safetensors"}


def write_config(directory: Path, config: Any) -> None:
    (directory / "dissector.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def mammo_clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mammo-clip")
    write_config(directory, MAMMO_CLIP_CONFIG)
    (directory / "vocab.txt").write_text(vocabulary())
    position_ids = {"text_encoder.text_encoder.embeddings.position_ids": torch.arange(512)[None]}
    torch.save(pretraining_file("b2", {**recipe_weights("b2"), **position_ids}), directory / "model.tar")
    return directory


@pytest.fixture(scope="module")
def mammo_clip(mammo_clip_directory: Path) -> Dissector:
    return open_dissector(DissectorSpec(mammo_clip_directory), CPU)


@pytest.fixture
def tiny_clip(tmp_path: Path) -> Path:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_CLIP, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False, pretrained_text=False)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, tmp_path / "clip.safetensors")
    write_config(tmp_path, OPEN_CLIP_CONFIG)
    return tmp_path


def test_mammo_clip_opens_from_the_published_file(mammo_clip: Dissector, mammo_clip_directory: Path) -> None:
    assert mammo_clip.preprocessing == MAMMO_CLIP
    assert mammo_clip.digest == digest_of_directory(mammo_clip_directory)
    images, texts = mammo_clip.embed_images(images_of(["a", "b"], 64, 48)), mammo_clip.embed_texts(["w2000", "w3000"])
    assert images.shape == texts.shape == (2, 512)
    for embeddings in (images, texts):
        assert embeddings.dtype == torch.float32
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(2))


def test_texts_are_embedded_alike_in_any_company(mammo_clip: Dissector) -> None:
    texts = [f"w{2000 + index}" + " w5000" * (index % 7) for index in range(70)]
    together = mammo_clip.embed_texts(texts)
    assert torch.allclose(together[69], mammo_clip.embed_texts(texts[69:])[0], atol=1e-5)
    assert not torch.allclose(together[69], together[0], atol=1e-2)


def test_words_are_cased_and_split_into_word_pieces(mammo_clip: Dissector) -> None:
    lower, upper, unknown = mammo_clip.embed_texts(["w2000", "W2000", "[UNK]"])
    assert not torch.allclose(lower, upper, atol=1e-3)
    assert torch.allclose(upper, unknown, atol=1e-5)


def test_long_texts_are_cut_at_256_tokens(mammo_clip: Dissector) -> None:
    cut, same, shorter = mammo_clip.embed_texts(["w2000 " * 300, "w2000 " * 254, "w2000 " * 253])
    assert torch.allclose(cut, same, atol=1e-5)
    assert not torch.allclose(cut, shorter, atol=1e-5)


def test_one_image_is_embedded_alike_in_any_batch(mammo_clip: Dissector) -> None:
    images = images_of(["a", "b", "c"], 64, 48)
    assert torch.allclose(mammo_clip.embed_images(images)[2], mammo_clip.embed_images(images[2:])[0], atol=1e-5)


def test_open_clip_opens_what_its_directory_describes(tiny_clip: Path) -> None:
    dissector = open_dissector(DissectorSpec(tiny_clip, digest_of_directory(tiny_clip)), CPU)
    reference = open_clip.create_model(f"local-dir:{tiny_clip}").eval()
    assert (dissector.preprocessing.height, dissector.preprocessing.width) == (32, 32)
    assert dissector.preprocessing.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    images, texts = torch.randn(3, 3, 32, 32), ["a mass", "calcifications"]
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("RN50", context_length=16)(texts)
        expected_images = reference.encode_image(images, normalize=True)
        expected_texts = reference.encode_text(tokens, normalize=True)
    assert torch.allclose(dissector.embed_images(images), expected_images, atol=1e-6)
    assert torch.allclose(dissector.embed_texts(texts), expected_texts, atol=1e-6)


def test_mobile_clip_opens_under_its_published_names(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL_MOBILE_CLIP, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    reference = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False, pretrained_text=False).eval()
    torch.save(as_apple_publishes(reference), tmp_path / "mobileclip.pt")
    write_config(tmp_path, {"kind": "open_clip", "checkpoint": "mobileclip.pt"})

    dissector = open_dissector(DissectorSpec(tmp_path), CPU)
    images, texts = torch.randn(2, 3, 64, 64), ["a mass", "calcifications"]
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("RN50", context_length=16)(texts)
        expected_images = reference.encode_image(images, normalize=True)
        expected_texts = reference.encode_text(tokens, normalize=True)
    assert torch.allclose(dissector.embed_images(images), expected_images, atol=1e-6)
    assert torch.allclose(dissector.embed_texts(texts), expected_texts, atol=1e-6)


def test_open_clip_texts_keep_their_order_over_batches(tiny_clip: Path) -> None:
    dissector = open_dissector(DissectorSpec(tiny_clip), CPU)
    texts = [f"finding number {index}" for index in range(130)]
    assert torch.allclose(dissector.embed_texts(texts)[129], dissector.embed_texts(texts[129:])[0], atol=1e-6)


def test_a_promised_digest_covers_every_file(tiny_clip: Path) -> None:
    digest = digest_of_directory(tiny_clip)
    with (tiny_clip / "clip.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DigestMismatch, match=digest_of_directory(tiny_clip)):
        open_dissector(DissectorSpec(tiny_clip, digest), CPU)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "does not name a known kind"),
        ({"kind": "mammoclip"}, "does not name a known kind"),
        ([], "does not contain a JSON object"),
        ({"kind": "mammo-clip"}, "has no entry 'checkpoint'"),
        ({**OPEN_CLIP_CONFIG, "kind": "mammo-clip"}, "has no entry 'vocab'"),
        ({**OPEN_CLIP_CONFIG, "checkpoint": "other.pt"}, "has no checkpoint 'other.pt'"),
        ({**OPEN_CLIP_CONFIG, "checkpoint": "../clip.safetensors"}, "outside"),
        ({**OPEN_CLIP_CONFIG, "model": "ViT-B32"}, "Near matches: ViT-B-32"),
        ({**OPEN_CLIP_CONFIG, "model": "roberta-ViT-B-32"}, "does not name a usable open_clip model"),
        ({**OPEN_CLIP_CONFIG, "model": "hf-hub:someone/something"}, "does not name a usable open_clip model"),
    ],
)
def test_an_unusable_directory_is_refused_with_a_remedy(tiny_clip: Path, config: Any, words: str) -> None:
    write_config(tiny_clip, config)
    with pytest.raises(InvalidDissector) as caught:
        open_dissector(DissectorSpec(tiny_clip), CPU)
    assert words in str(caught.value)
    assert caught.value.remedy


def test_a_directory_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDissector, match=r"no dissector\.json"):
        open_dissector(DissectorSpec(tmp_path), CPU)


def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dissector.json").write_text("kind: mammo-clip")
    with pytest.raises(InvalidDissector, match="not valid JSON"):
        open_dissector(DissectorSpec(tmp_path), CPU)


@pytest.mark.parametrize("name", ["dissector.json", "open_clip_config.json"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "more than 64 levels"),
        ('{"a":' * 100 + "1" + "}" * 100, "more than 64 levels"),
        ('{"kind": ' + "9" * 5_000 + "}", "kind is an integer of 5000 digits"),
        ('{"kind": "a\\ud800"}', "kind holds half of a surrogate pair"),
        ('{"kind": "a\\u0000b"}', "kind holds the character NUL"),
        ('{"kind": 1, "kind": 2}', "twice"),
        ('{"kind": NaN}', "kind is not a JSON number"),
        ("", "only blanks"),
    ],
    ids=["brackets", "deep", "digits", "half", "NUL", "twice", "NaN", "empty"],
)
def test_json_that_cannot_be_worked_with_is_refused_in_our_words(
    tiny_clip: Path, name: str, text: str, words: str
) -> None:
    (tiny_clip / name).write_text(text)
    with pytest.raises(InvalidDissector, match=words) as caught:
        open_dissector(DissectorSpec(tiny_clip), CPU)
    assert caught.value.detail.startswith(f"{name} cannot be used.")


@pytest.mark.parametrize("model", [["ViT-B-32"], {"a": 1}, 7, "x" * 1_000_000])
def test_a_model_that_is_no_known_name_is_refused(tiny_clip: Path, model: object) -> None:
    write_config(tiny_clip, {**OPEN_CLIP_CONFIG, "model": model})
    with pytest.raises(InvalidDissector, match="does not name a usable open_clip model"):
        open_dissector(DissectorSpec(tiny_clip), CPU)


@pytest.mark.parametrize(
    ("model_config", "words"),
    [
        ({"model_cfg": {**TINY_CLIP, "text_cfg": {"hf_model_name": "some/model"}}}, "model hub"),
        ({}, "does not describe a model"),
    ],
)
def test_an_open_clip_configuration_that_cannot_be_used_is_refused(
    tiny_clip: Path, model_config: dict[str, Any], words: str
) -> None:
    (tiny_clip / "open_clip_config.json").write_text(json.dumps(model_config))
    with pytest.raises(InvalidDissector, match=words):
        open_dissector(DissectorSpec(tiny_clip), CPU)


def small_directory(directory: Path, *, contents: dict[str, Any], vocab: str | None = None, **config: Any) -> Path:
    write_config(directory, {**MAMMO_CLIP_CONFIG, **config})
    (directory / "vocab.txt").write_text(vocabulary() if vocab is None else vocab)
    torch.save(contents, directory / "model.tar")
    return directory


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    directory = small_directory(tmp_path, contents={"epoch": 3}, model="b2")
    with pytest.raises(InvalidCheckpoint, match="holds no weights"):
        open_dissector(DissectorSpec(directory), CPU)


@pytest.mark.parametrize(
    ("vocab", "words"),
    [("[PAD]\n[UNK]\n[CLS]\n[SEP]\nmass\n", "5 tokens"), (vocabulary().replace("[SEP]", "sep"), r"lacks \[SEP\]")],
)
def test_a_vocabulary_that_is_not_the_whole_one_is_refused(tmp_path: Path, vocab: str, words: str) -> None:
    directory = small_directory(tmp_path, contents=pretraining_file("b2", {}), vocab=vocab)
    with pytest.raises(InvalidDissector, match=words):
        open_dissector(DissectorSpec(directory), CPU)


@pytest.mark.parametrize("contents", [{"model": {}}, {"model": {}, "config": {"model": {"image_encoder": {}}}}])
def test_a_checkpoint_that_does_not_say_its_image_encoder_needs_the_model_named(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    with pytest.raises(InvalidDissector, match='"model": "b5"'):
        open_dissector(DissectorSpec(small_directory(tmp_path, contents=contents)), CPU)


@pytest.mark.parametrize(
    ("contents", "error", "words"),
    [
        ({"model": {"logit_scale": torch.zeros(())}}, InvalidCheckpoint, "Mammo-CLIP b2: 709 missing"),
        ({"model": {}, "hook": print}, UnsafeCheckpoint, "print"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(
    tmp_path: Path, contents: dict[str, Any], error: type[DissectError], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_dissector(DissectorSpec(small_directory(tmp_path, contents=contents, model="b2")), CPU)


def edited(directory: Path, part: str, **entries: Any) -> Path:
    """The tiny open_clip dissector with other entries in its description."""
    model = json.loads(json.dumps(TINY_CLIP))
    (model[part] if part else model).update(entries)
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    return directory


@pytest.mark.parametrize(
    ("part", "entries", "words"),
    [
        ("text_cfg", {"hf_tokenizer_name": "someone/something"}, "model hub"),
        ("text_cfg", {"hf_model_name": "someone/something", "hf_model_pretrained": True}, "model hub"),
        ("text_cfg", {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}, "another file"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": {"bpe_path": "x"}}}, "clean .* is not a word"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "none_such"}}, "clean texts .*canonicalize"),
        ("text_cfg", {"act_kwargs": 5}, "act_kwargs .* is not an object.*Give an object in braces"),
        ("vision_cfg", {"timm_model_name": "hf-hub:someone/something"}, "the library does not have"),
        ("vision_cfg", {"timm_model_name": "local-dir:/tmp"}, "the library does not have"),
        ("vision_cfg", {"timm_model_name": "resnet18", "timm_model_pretrained": True}, "model hub"),
        ("vision_cfg", {"timm_model_name": ["resnet18"]}, "vision_cfg.timm_model_name .* is not a word"),
        ("vision_cfg", {"layers": [1, "2"]}, "vision_cfg.layers .* is not a number or a list of numbers"),
        ("vision_cfg", {"patch_size": "16"}, "vision_cfg.patch_size .* is not a number or a list"),
        ("vision_cfg", {"attentional_pool": []}, "vision_cfg.attentional_pool .* is not true, false or a word"),
        ("vision_cfg", {"attentional_pool": 1}, "vision_cfg.attentional_pool .* is not true, false or a word"),
        ("vision_cfg", {"width": True}, "vision_cfg.width .* is not a number.*Give a number"),
        ("vision_cfg", {"layers": [1, False]}, "vision_cfg.layers .* is not a number or a list of numbers"),
        ("vision_cfg", {"layers": [1, None]}, "vision_cfg.layers .* is not a number or a list of numbers"),
        ("vision_cfg", {"no_ln_pre": 1}, "vision_cfg.no_ln_pre .* is not true or false.*Give true or false"),
        ("text_cfg", {"proj_bias": "yes"}, "text_cfg.proj_bias .* is not true or false"),
        ("text_cfg", {"pool_type": 3}, "text_cfg.pool_type .* is not a word"),
        ("text_cfg", {"norm_kwargs": {"eps": True}}, "text_cfg.norm_kwargs.eps .* is not a number"),
        ("text_cfg", {"pool_type": "x" * 101}, "out of bounds.*a word of at most 100 letters"),
        ("text_cfg", {"heads": [2]}, "text_cfg.heads .* is not a number"),
        ("vision_cfg", {"auto_map": {"AutoModel": "code.Model"}}, "model hub"),
        ("", {"pretrained": "laion2b"}, "model hub"),
        ("vision_cfg", {"width": 10**6, "layers": 100}, "many times larger"),
        ("vision_cfg", {"width": 10**9}, "out of bounds.*a number from -1000000 to 1000000"),
        ("vision_cfg", {"layers": 10**5}, "out of bounds.*from -256 to 256"),
        ("vision_cfg", {"mlp_ratio": 1e6, "width": 10**4}, "many times larger"),
        ("text_cfg", {"vocab_size": 10**6, "width": 10**4}, "many times larger"),
        ("text_cfg", {"context_length": 10**5}, "many times larger"),
        ("", {"embed_dim": 10**6, "vision_cfg": {**TINY_CLIP["vision_cfg"], "width": 10**5}}, "many times larger"),  # type: ignore[dict-item]
        ("vision_cfg", {"image_size": 160_000, "patch_size": 80_000}, "many times larger|images would be"),
        ("vision_cfg", {"width": "wide"}, "vision_cfg.width .* is not a number"),
        ("vision_cfg", {"width": -4}, "cannot build|does not fit"),
        ("vision_cfg", {"layers": [1] * 100}, "out of bounds.*at most 16 numbers"),
    ],
)
def test_a_description_that_asks_for_more_than_its_directory_has_is_refused(
    tiny_clip: Path, part: str, entries: dict[str, Any], words: str
) -> None:
    with pytest.raises((InvalidDissector, InvalidCheckpoint), match=words) as caught:
        open_dissector(DissectorSpec(edited(tiny_clip, part, **entries)), CPU)
    assert caught.value.remedy


def test_flags_and_nulls_of_a_description_are_taken(tiny_clip: Path) -> None:
    entries = {"no_ln_pre": False, "attentional_pool": False, "timm_model_name": None, "act_kwargs": None}
    assert open_dissector(DissectorSpec(edited(tiny_clip, "vision_cfg", **entries)), CPU).digest


def test_the_image_size_of_a_description_is_bounded(tiny_clip: Path) -> None:
    config = edited(tiny_clip, "vision_cfg", image_size=20_000, patch_size=10_000, width=1, head_width=1)
    with pytest.raises((InvalidDissector, InvalidCheckpoint), match=r"would be 20000 x 20000|many times larger"):
        open_dissector(DissectorSpec(config), CPU)


@pytest.mark.parametrize("name", ["fifo", "link out", "folder of a fifo"])
def test_a_directory_with_anything_but_files_of_its_own_is_refused(tiny_clip: Path, name: str) -> None:
    match name:
        case "fifo":
            os.mkfifo(tiny_clip / "fifo")
        case "link out":
            (tiny_clip / "link").symlink_to("/etc/hostname")
        case _:
            (tiny_clip / "deep" / "er").mkdir(parents=True)
            os.mkfifo(tiny_clip / "deep" / "er" / "fifo")
    with pytest.raises(InvalidDissector, match=r"cannot be used") as caught:
        open_dissector(DissectorSpec(tiny_clip), CPU)
    assert caught.value.remedy


def test_links_within_the_directory_are_followed(tiny_clip: Path) -> None:
    (tiny_clip / "clip.safetensors").rename(tiny_clip / "stored")
    (tiny_clip / "clip.safetensors").symlink_to("stored")
    (tiny_clip / "more").symlink_to(".")
    assert open_dissector(DissectorSpec(tiny_clip), CPU).digest == digest_of_directory(tiny_clip)


def test_a_directory_outside_the_data_roots_is_refused(
    tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    roots = DataRoots.of([tmp_path_factory.mktemp("roots")])
    (roots.paths[0] / "link").symlink_to(tiny_clip)
    for path in (tiny_clip, roots.paths[0] / "link"):
        with pytest.raises(InvalidDissector, match="outside the folders"):
            open_dissector(DissectorSpec(path, roots=roots), CPU)
    assert open_dissector(DissectorSpec(tiny_clip, roots=DataRoots.of([tiny_clip])), CPU).digest


def test_a_file_that_changes_after_the_digest_is_not_used(tiny_clip: Path) -> None:
    folder = DissectorFolder.open(DissectorSpec(tiny_clip))
    (tiny_clip / "dissector.json").write_text("{}")
    (tiny_clip / "clip.safetensors").write_bytes((tiny_clip / "clip.safetensors").read_bytes()[:-4] + b"else")
    with pytest.raises(DigestMismatch):
        folder.read_config()
    with pytest.raises(DigestMismatch):
        folder.open_checkpoint("clip.safetensors")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error.*Check the disk"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files.*limits on open files"),
        (WrittenMeanwhile(), "changed while it was being read.*try again"),
    ],
)
def test_trouble_that_may_pass_does_not_blame_the_dissector(
    error: OSError, words: str, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise error

    folder = DissectorFolder.open(DissectorSpec(tiny_clip))
    monkeypatch.setattr(DataRoots, "open", fail)
    for read in (folder.read_config, lambda: open_dissector(DissectorSpec(tiny_clip), CPU)):
        with pytest.raises(FileOutOfReach) as caught:
            read()
        assert re.search(words, str(caught.value))


def test_the_files_of_a_dissector_keep_the_limit_of_the_service(tiny_clip: Path) -> None:
    folder = DissectorFolder.open(DissectorSpec(tiny_clip, roots=DataRoots(most=16 << 20)))
    with (tiny_clip / "dissector.json").open("ab") as file:
        file.truncate(32 << 20)
    with pytest.raises(InvalidDissector, match="MAX_FILE_GB allows"):
        folder.read_config()
    with (tiny_clip / "clip.safetensors").open("ab") as file:
        file.truncate(32 << 20)
    with pytest.raises(InvalidCheckpoint, match="MAX_FILE_GB allows"):
        folder.open_checkpoint("clip.safetensors")


@pytest.mark.parametrize("kind", [["open_clip"], {"open_clip": 1}, 3])
def test_a_kind_that_is_no_word_is_refused(tiny_clip: Path, kind: object) -> None:
    write_config(tiny_clip, {**OPEN_CLIP_CONFIG, "kind": kind})
    with pytest.raises(InvalidDissector, match="does not name a known kind"):
        open_dissector(DissectorSpec(tiny_clip), CPU)
