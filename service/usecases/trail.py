"""Write the trail and prove that it is whole.

A call of the API writes its entry at the edge (`record_call`), with no help of the use case. A use case may add what
only it knows: `annotate` gives the call's entry digests of what it changed. Whoever acts without the API, the scheduler
or the command line, calls `record`. Where a use case has called `record` in an API's call, that is the call's entry.
"""

import json
from contextlib import closing

from sqlalchemy.orm import Session

from service.db import trail as queries
from service.domain.trail import TrailCheck, TrailHead, TrailRecord, check_chain
from service.errors import InvalidInput
from service.signatures import PublicKey, Signature, SigningKey

_ANNOTATED = "trail_annotated"


def record(
    session: Session,
    *,
    actor: str,
    action: str,
    subject: str,
    request: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> None:
    """Have one entry written when the session's transaction commits; none if it is rolled back.

    subject: what was acted on, by its path in the API where it has one. request, before, after: SHA-256 of what was
    asked and of the subject's state. Raises InvalidInput for an empty word and for what is no digest.
    """
    queries.add_record(session, TrailRecord(actor, action, subject, request, before, after))


def annotate(session: Session, *, before: str | None = None, after: str | None = None) -> None:
    """Give digests of the subject's state to the entry that the edge writes for this call."""
    session.info[_ANNOTATED] = {"before": before, "after": after}


def forget_annotation(session: Session) -> None:
    """Take back what `annotate` gave: what it was of has been rolled back."""
    session.info.pop(_ANNOTATED, None)


def record_call(session: Session, *, actor: str, action: str, subject: str, request: str | None) -> None:
    """Have the one entry of an API's call written. request: SHA-256 of its body, if it had one."""
    annotated = session.info.pop(_ANNOTATED, {})
    if not queries.complete_records(session, request):
        record(session, actor=actor, action=action, subject=subject, request=request, **annotated)


def export_head(session: Session, key: SigningKey) -> bytes:
    """The trail's head now, signed, as the bytes of the file to be kept elsewhere."""
    head = queries.find_head(session)
    return _render(head, key.sign(_signed_bytes(head)))


def read_head(document: bytes, trusted: PublicKey) -> TrailHead:
    """The head in a file of `export_head`, once its signature is verified.

    Raises InvalidInput for what is no such file, InvalidSignature where another key signed it, and SignatureMismatch
    where a byte of it was changed.
    """
    try:
        content = json.loads(document)
        head = TrailHead.from_json(content["head"])
        signature = Signature.from_json(content["signature"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            "The head file cannot be read.", field="head", remedy="Give a file of `mammodissect admin trail-head`."
        ) from error

    trusted.verify(_signed_bytes(head), signature)
    if document != _render(head, signature):
        raise InvalidInput(
            "The head file contains more than was exported.", field="head", remedy="Give the file as it was exported."
        )
    return head


def verify_trail(session: Session, head: TrailHead | None = None) -> TrailCheck:
    """Check the whole chain entry by entry, in memory that does not grow with it; against a signed head if given."""
    with closing(queries.stream_entries(session)) as entries:
        return check_chain(entries, head)


def _signed_bytes(head: TrailHead) -> bytes:
    return json.dumps(head.as_json(), sort_keys=True, separators=(",", ":")).encode()


def _render(head: TrailHead, signature: Signature) -> bytes:
    content = {"head": head.as_json(), "signature": signature.as_json()}
    return (json.dumps(content, indent=2) + "\n").encode()
