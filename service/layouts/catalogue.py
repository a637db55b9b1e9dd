"""Every layout, by its name."""

from service.errors import InvalidInput
from service.layouts import cbis_ddsm, cdd_cesm, cmmd, csaw_cc, dicom_folder, embed, inbreast, mias, rsna, vindr
from service.layouts.source import Layout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        vindr.LAYOUT,
        rsna.LAYOUT,
        cbis_ddsm.LAYOUT,
        cmmd.LAYOUT,
        inbreast.LAYOUT,
        embed.LAYOUT,
        csaw_cc.LAYOUT,
        cdd_cesm.LAYOUT,
        mias.LAYOUT,
        dicom_folder.LAYOUT,
    )
}


def layout_named(name: str, *, field: str) -> Layout:
    """The layout of that name. Raises InvalidInput, naming the field, where there is none."""
    layout = LAYOUTS.get(name)
    if layout is None:
        raise InvalidInput(
            f"There is no layout '{name[:80]}'.",
            field=field,
            value=name,
            remedy=f"Name one of {', '.join(LAYOUTS)}; for any other table write a manifest (docs/probe-sets.md).",
        )
    return layout
