"""Every error this software raises on purpose, as one tree free of HTTP.

    DissectError
    ├── InvalidInput              something the caller sent cannot be used
    │   ├── UnknownLayer          the target has no such layer
    │   ├── LayerWithoutTensor    the layer's output is not one float tensor of a shape that can be pooled
    │   ├── NoOutputs             the network has no outputs of its own that depend on the layer's units
    │   ├── TooFewImages          the probe set is smaller than top-k
    │   ├── InvalidConceptSet     empty, duplicate or badly shaped concepts
    │   ├── InvalidManifest       a probe-set manifest that cannot be read
    │   ├── InvalidFindingsMap    a map from findings to concepts that cannot be used
    │   ├── InvalidPolicy         a policy with an unknown rule, or a threshold that nothing can reach
    │   ├── UnreadableImage       an image of the probe set cannot be decoded
    │   ├── UnknownArchitecture   no loader for that architecture name
    │   ├── InvalidArchitecture   an installed package's architecture cannot be built, or fails
    │   ├── InvalidCheckpoint     a weights file that is missing, damaged or does not fit its architecture
    │   │   ├── UnsafeCheckpoint  opening it would run code
    │   │   └── DigestMismatch    its SHA-256 is not the one that was promised
    │   ├── InvalidDissector      a dissector directory that cannot be used
    │   ├── InvalidActivations    NaN or infinite activations
    │   ├── TooLarge              what was sent is larger than is taken
    │   ├── TooSlow               what was sent took too long to arrive
    │   ├── UnsupportedMediaType  what was sent is declared to be of a kind that nobody here reads
    │   └── InvalidSignature      a signature that cannot be verified: of no known form, or by another key
    │       └── SignatureMismatch what was signed, or the signature, was changed
    ├── NotFound                  no such registered thing
    ├── Conflict                  the request is fine but the present state forbids it
    │   ├── NotMeasured           a probe set's images are still to be measured, for its frames and patches
    │   │   └── NotListed         it is still to be read from headers which images a probe set has
    │   ├── NotFetched            a model's source is still to be fetched
    │   ├── PartRefused           a worker could not open a registered model or dissector
    │   ├── PictureUnavailable    a worker could not draw an image
    │   └── PurposeNotAllowed     a part of the job may not be used for what the job is for
    ├── Unauthorized              the API key is missing or wrong
    ├── Forbidden                 it is known who calls, and they may not do this, or not from there
    ├── Unavailable               something the service rests on cannot be reached now
    │   ├── Overloaded            more is asked at once than can be worked on
    │   ├── NotReadYet            no worker has read yet what a search goes by
    │   └── FileOutOfReach        a file cannot be read now: the disk or the machine is in trouble
    │       └── ImageChanged      an image is not the one any more that was digested
    ├── ArtifactNotStored         an intermediate result cannot be written: disk full, store out of reach
    ├── ArtifactLost              a stored intermediate result is missing or damaged
    ├── LeaseLost                 a worker writes for an item that is no longer its own
    └── JobCancelled              raised inside a running job when somebody cancelled it

`api/problems.py` maps each class to a status; a failed job stores `as_problem()` in its row.
"""

import re
from typing import ClassVar, NotRequired, TypedDict

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class ProblemFields(TypedDict):
    """An error as it is stored and sent: what went wrong, and what to do about it."""

    code: str
    title: str
    detail: str
    field: NotRequired[str]
    value: NotRequired[str]
    remedy: NotRequired[str]


class DissectError(Exception):
    """Base class. Each subclass has a stable `code` (the problem type) and a `title` (the same for every instance).

    detail: one sentence on this occurrence. field: the input that is wrong, in the caller's words.
    value: what was given (shortened). remedy: what to do about it.

    They may quote any file, and are stored: so they are made `storable`.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, field: str | None = None, value: object = None, remedy: str | None = None
    ) -> None:
        self.detail = storable(detail)
        super().__init__(self.detail)
        self.field = None if field is None else storable(field)
        self.value = None if value is None else storable(_shorten(str(value)))
        self.remedy = None if remedy is None else storable(remedy)

    def __str__(self) -> str:
        return self.detail if self.remedy is None else f"{self.detail} {self.remedy}"

    def as_problem(self) -> ProblemFields:
        """Code, title and detail, and field, value and remedy where there are any."""
        problem = ProblemFields(code=self.code, title=self.title, detail=self.detail)
        if self.field is not None:
            problem["field"] = self.field
        if self.value is not None:
            problem["value"] = self.value
        if self.remedy is not None:
            problem["remedy"] = self.remedy
        return problem


def as_error(problem: ProblemFields) -> DissectError:
    """The error that was stored as a problem; a plain one for a code that no class has."""
    waiting: list[type[DissectError]] = [DissectError]
    kind = DissectError
    while waiting:
        candidate = waiting.pop()
        if candidate.code == problem["code"]:
            kind = candidate
        waiting += candidate.__subclasses__()
    return kind(
        problem["detail"],
        field=problem.get("field"),
        value=problem.get("value"),
        remedy=problem.get("remedy"),
    )


def storable(text: str) -> str:
    """The text with a mark in place of what the database takes in none: NUL, and halves of surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", text)


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


class InvalidInput(DissectError):
    """Something the caller sent cannot be used."""

    code, title = "invalid-input", "Invalid input"


class UnknownLayer(InvalidInput):
    """The target has no layer of that name; the detail lists near matches."""

    code, title = "unknown-layer", "Unknown layer"


class LayerWithoutTensor(InvalidInput):
    """The layer's output is not one float tensor [B, U], [B, T, U] or [B, U, H, W]."""

    code, title = "layer-without-tensor", "Layer output cannot be pooled"


class NoOutputs(InvalidInput):
    """The network has no outputs of its own that could change: a table, a headless network, its last layer."""

    code, title = "no-outputs", "No outputs to ask"


class TooFewImages(InvalidInput):
    """The probe set has fewer images than top-k."""

    code, title = "too-few-images", "Too few probe images"


class InvalidConceptSet(InvalidInput):
    """Empty, duplicate or badly shaped concepts."""

    code, title = "invalid-concept-set", "Invalid concept set"


class InvalidManifest(InvalidInput):
    """A probe-set manifest that cannot be read; the detail names the row."""

    code, title = "invalid-manifest", "Invalid probe-set manifest"


class InvalidFindingsMap(InvalidInput):
    """A map from findings to concepts that cannot be read, or that names a concept that the set has not."""

    code, title = "invalid-findings-map", "Invalid map of findings"


class InvalidPolicy(InvalidInput):
    """A policy with an unknown rule, or with a threshold that nothing can reach."""

    code, title = "invalid-policy", "Invalid policy"


class UnreadableImage(InvalidInput):
    """An image of the probe set cannot be decoded; named by its manifest row."""

    code, title = "unreadable-image", "Unreadable image"


class UnknownArchitecture(InvalidInput):
    """No loader for that architecture name; the detail lists the families there are."""

    code, title = "unknown-architecture", "Unknown architecture"


class InvalidArchitecture(InvalidInput):
    """An installed package's architecture cannot be built, is no network, or fails when it is shown images."""

    code, title = "invalid-architecture", "Invalid architecture"


class InvalidCheckpoint(InvalidInput):
    """A weights file that is missing, damaged or does not fit its architecture."""

    code, title = "invalid-checkpoint", "Invalid checkpoint"


class UnsafeCheckpoint(InvalidCheckpoint):
    """Opening the file would run code that it carries."""

    code, title = "unsafe-checkpoint", "Unsafe checkpoint"


class DigestMismatch(InvalidCheckpoint):
    """The file's SHA-256 is not the one that was promised."""

    code, title = "digest-mismatch", "Checkpoint digest mismatch"


class InvalidDissector(InvalidInput):
    """A dissector directory that is incomplete or of an unknown kind."""

    code, title = "invalid-dissector", "Invalid dissector"


class InvalidActivations(InvalidInput):
    """The target produced NaN or infinite activations; the detail names layer, unit and image."""

    code, title = "invalid-activations", "Invalid activations"


class TooLarge(InvalidInput):
    """What was sent is larger than is taken."""

    code, title = "too-large", "Too large"


class TooSlow(InvalidInput):
    """What was sent took too long to arrive."""

    code, title = "too-slow", "Too slow"


class UnsupportedMediaType(InvalidInput):
    """What was sent is declared to be of a kind that nobody here reads."""

    code, title = "unsupported-media-type", "Unsupported media type"


class InvalidSignature(InvalidInput):
    """A signature that cannot be verified: it has no known form, or another key than the trusted one made it."""

    code, title = "invalid-signature", "Invalid signature"


class SignatureMismatch(InvalidSignature):
    """The signed document, or its signature, was changed after the signing."""

    code, title = "signature-mismatch", "Changed after it was signed"


class NotFound(DissectError):
    """No such job, model, dissector, probe set, concept set, layer or neuron."""

    code, title = "not-found", "Not found"


class Conflict(DissectError):
    """The request is fine but the present state forbids it."""

    code, title = "conflict", "Conflict with the present state"


class NotMeasured(Conflict):
    """A worker is still to read the sizes of a probe set's images, which decide its frames and patches."""

    code, title = "not-measured", "Probe set not measured yet"


class NotListed(NotMeasured):
    """A worker is still to read from the headers of a data set's images what a manifest says of them."""

    code, title = "not-listed", "Images not listed yet"


class NotFetched(Conflict):
    """A model's source is still to be fetched, so nobody knows its content."""

    code, title = "not-fetched", "Model not fetched yet"


class PartRefused(Conflict):
    """A worker could not open a registered model or dissector, or read a probe set's images; the detail says why."""

    code, title = "part-refused", "Refused when it was opened"


class PictureUnavailable(Conflict):
    """A worker could not draw an image: its file is gone, cannot be read or has changed; the detail says why."""

    code, title = "picture-unavailable", "Image cannot be drawn"


class PurposeNotAllowed(Conflict):
    """What is stated of a part of the job does not allow what the job is for; the detail names part and licence."""

    code, title = "purpose-not-allowed", "Purpose not allowed"


class Unauthorized(DissectError):
    """The API key is missing or wrong."""

    code, title = "unauthorized", "API key required"


class Forbidden(DissectError):
    """It is known who calls, and they may not do this, or not from there."""

    code, title = "forbidden", "Not allowed"


class Unavailable(DissectError):
    """Something the service rests on cannot be reached now: the database, the broker, a file."""

    code, title = "unavailable", "Temporarily unavailable"


class Overloaded(Unavailable):
    """More is asked at once than can be worked on; nothing has been changed."""

    code, title = "overloaded", "Too many requests at once"


class NotReadYet(Unavailable):
    """No worker has read yet the text or the image that a search goes by; the same search finds it read later."""

    code, title = "not-read-yet", "Not read yet"


class FileOutOfReach(Unavailable):
    """A file cannot be read now, because the disk or the machine is in trouble."""

    code, title = "file-out-of-reach", "File temporarily out of reach"


class ImageChanged(FileOutOfReach):
    """An image was digested, and its file is another one by now."""

    code, title = "image-changed", "Image changed"


class JobCancelled(DissectError):
    """Raised inside a running job, between two batches, when somebody cancelled it."""

    code, title = "cancelled", "Job cancelled"


class LeaseLost(DissectError):
    """A worker writes for a work item that was taken from it; its write is refused whole."""

    code, title = "lease-lost", "Lease lost"


class ArtifactNotStored(DissectError):
    """An intermediate result cannot be written: the disk is full, or the store is out of reach."""

    code, title = "artifact-not-stored", "Artifact not stored"


class ArtifactLost(DissectError):
    """A stored intermediate result is missing or its digest is another one; it has to be computed again."""

    code, title = "artifact-lost", "Artifact lost"
