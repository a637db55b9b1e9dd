"""What is to be remarked on an image, from what its file says and what its pixels show."""

from collections.abc import Iterator, Sequence

from service.domain.checks import (
    SQUEEZED_SHARE,
    TINY_SIDE,
    USUAL_BITS,
    WIDE_SHARE,
    NamedRow,
    Reason,
)
from service.domain.probes import Box, ProbeItem
from service.probes.pixels import ImageFacts, LevelFacts

MaskSize = tuple[int, int] | None
"""Height and width of a mask; None for one that cannot be read."""

FOR_PROCESSING = "FOR PROCESSING"
PRESENTATION = "presentation"
"""The stratum that says what images are for whose files cannot say it."""

_USUAL = ", ".join(map(str, USUAL_BITS[:-1])) + f" or {USUAL_BITS[-1]}"


def remarks_on(item: ProbeItem, facts: ImageFacts | None, *, is_refused: bool) -> Iterator[tuple[Reason, NamedRow]]:
    """Every remark but that it cannot be decoded.

    facts: None where the file says nothing. is_refused: whether it cannot be decoded. Several frames are remarked where
    the probe set does not say what to take of them.
    """
    if intent_of(item, facts) == FOR_PROCESSING:
        yield _remark(
            Reason.FOR_PROCESSING,
            item,
            "it is a raw image (FOR PROCESSING), whose grey levels are not those of an image for presentation",
            "Use the image FOR PRESENTATION of the same view, or keep raw images in a probe set of their own.",
        )
    if facts is None:
        return

    if facts.levels is not None:
        yield from _on_levels(item, facts.levels)
        if min(facts.height, facts.width) < TINY_SIDE:
            yield _remark(
                Reason.TINY,
                item,
                f"it has {facts.height} x {facts.width} pixels",
                f"Use the image in full size: a side of less than {TINY_SIDE} pixels shows hardly any finding.",
            )
    if facts.frames > 1 and is_refused:
        yield _remark(Reason.SEVERAL_FRAMES, item, f"it has {facts.frames} frames")
    yield from _on_bits(item, facts)
    yield from _on_colour(item, facts)


def remarks_on_regions(
    item: ProbeItem, facts: ImageFacts, mask_sizes: Sequence[MaskSize]
) -> Iterator[tuple[Reason, NamedRow]]:
    """The remark that a box or mask of a finding does not fit into its image, whose size is known."""
    if not facts.height:
        return

    size = f"its {facts.height} x {facts.width} pixels"
    outside = [box for region in item.regions if (box := region.box) is not None and not _fits(box, facts)]
    if outside:
        box = outside[0]
        more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
        why = f"a box at {box.left}, {box.top} of {box.height} x {box.width} pixels reaches beyond {size}{more}"
    elif None in mask_sizes:
        why = "a mask of a finding cannot be read"
    elif wrong := [mask for mask in mask_sizes if mask != (facts.height, facts.width)]:
        height, width = wrong[0] or (0, 0)
        why = f"a mask of a finding has {height} x {width} pixels, not {size}"
    else:
        return
    yield _remark(
        Reason.REGION_OUTSIDE, item, why, "Boxes and masks count the pixels of the stored image; correct `regions`."
    )


def _fits(box: Box, facts: ImageFacts) -> bool:
    return box.left + box.width <= facts.width and box.top + box.height <= facts.height


def intent_of(item: ProbeItem, facts: ImageFacts | None) -> str:
    """What an image is for: its header says it, or the manifest where no header can."""
    if facts is not None and facts.intent:
        return facts.intent
    return item.strata.get(PRESENTATION, "").strip().upper()


def _on_levels(item: ProbeItem, levels: LevelFacts) -> Iterator[tuple[Reason, NamedRow]]:
    if levels.lowest == levels.highest:
        yield _remark(Reason.CONSTANT, item, "all its pixels are equal", "Replace the file, or delete the row.")
        return

    padding = levels.padding or 0.0
    if max(padding, levels.flat) >= WIDE_SHARE:
        what = "are padding (PixelPaddingValue)" if padding >= levels.flat else "have one end of its grey levels"
        share = max(padding, levels.flat)
        yield _remark(
            Reason.WIDE_PADDING, item, f"{share:.0%} of its pixels {what}", "Look at it; crop it, or delete the row."
        )
    elif levels.kept < SQUEEZED_SHARE:
        what = "padding (PixelPaddingValue)" if padding > 0 else "one end of its grey levels, as of padding,"
        yield _remark(
            Reason.WIDE_PADDING,
            item,
            f"{what} leaves everything else {levels.kept:.1%} of the range of its grey levels",
            "Give the target an input with padding_as_air, which takes PixelPaddingValue for air."
            if padding > 0
            else "State the value as PixelPaddingValue (0028,0120) and give the target an input with padding_as_air.",
        )


def _on_bits(item: ProbeItem, facts: ImageFacts) -> Iterator[tuple[Reason, NamedRow]]:
    stated = facts.stated_bits
    if facts.bits and stated and facts.bits != stated:
        yield _remark(
            Reason.UNUSUAL_BITS,
            item,
            f"BitsStored (0028,0101) is {stated}, but its codestream has {facts.bits} bits, which are taken",
            "Correct BitsStored (0028,0101) and HighBit (0028,0102).",
        )
    elif stated and stated not in USUAL_BITS:
        yield _remark(Reason.UNUSUAL_BITS, item, f"it stores {stated} bits a pixel, not {_USUAL}")


def _on_colour(item: ProbeItem, facts: ImageFacts) -> Iterator[tuple[Reason, NamedRow]]:
    if not facts.coloured:
        return
    if facts.levels is None:
        yield _remark(Reason.COLOUR, item, f"it has {facts.samples} samples a pixel ({facts.photometric or 'colour'})")
    else:
        yield _remark(
            Reason.COLOUR,
            item,
            "it has colours, of which only the luma is shown",
            "Check whether something was drawn into it.",
        )


def _remark(reason: Reason, item: ProbeItem, why: str, remedy: str = "") -> tuple[Reason, NamedRow]:
    named: NamedRow = {"row": item.row, "why": why}
    if remedy:
        named["remedy"] = remedy
    return reason, named
