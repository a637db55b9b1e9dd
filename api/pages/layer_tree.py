"""The layers of a network as a tree, by the parts of their names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from service.domain.work import LayerListing

_OPEN_UP_TO = 24
"""Layers of a network that is shown unfolded."""


@dataclass(slots=True)
class LayerNode:
    """A part of a name: a layer, what other layers are in, or both."""

    title: str
    layer: LayerListing | None = None
    children: list["LayerNode"] = field(default_factory=list)
    count: int = 0
    """Layers in it, itself included."""
    is_open: bool = False


def tree_of(layers: Sequence[LayerListing], ticked: Collection[str]) -> list[LayerNode]:
    """The roots of the tree, in the network's order; what holds a ticked layer is unfolded."""
    root = LayerNode("")
    for layer in layers:
        _add(root, layer)

    for node in root.children:
        _finish(node, ticked, unfolded=len(layers) <= _OPEN_UP_TO)
    return root.children


def _add(root: LayerNode, layer: LayerListing) -> None:
    node = root
    for part in layer["name"].split("."):
        child = next((child for child in reversed(node.children) if child.title == part), None)
        if child is None:
            child = LayerNode(part)
            node.children.append(child)
        node = child
    node.layer = layer


def _finish(node: LayerNode, ticked: Collection[str], *, unfolded: bool) -> None:
    """Join parts that lead to one other part only, count layers, and say what is unfolded."""
    while node.layer is None and len(node.children) == 1:
        (only,) = node.children
        node.title = f"{node.title}.{only.title}"
        node.layer = only.layer
        node.children = only.children

    node.count = 0 if node.layer is None else 1
    holds_ticked = False
    for child in node.children:
        _finish(child, ticked, unfolded=unfolded)
        node.count += child.count
        holds_ticked = holds_ticked or child.is_open or (child.layer is not None and child.layer["name"] in ticked)
    node.is_open = unfolded or holds_ticked
