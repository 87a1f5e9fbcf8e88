"""How large a model may claim to be: checked before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

from quaint.errors import QuaintError


@dataclass(frozen=True)
class Limits:
    """Bounds on an untrusted model; sizes in bytes.

    Args:
        model_bytes: the model file, and separately the sum of all its constants.
        tensor_bytes: one constant, or one activation whose shape is static.
        nodes: nodes in all graphs together, local functions expanded.
        depth: graphs nested in one another. Protobuf parses 100 nested messages and each level takes three,
            so a file cannot hold more than 32 whatever is said here.
        follow_links: whether external data may be a symbolic or hard link that leads out of the model's folder
            (download caches are made of such links).
    """

    model_bytes: int = 8 << 30
    tensor_bytes: int = 4 << 30
    nodes: int = 200_000
    depth: int = 32
    follow_links: bool = False

    def check_depth(self, depth: int, where: str) -> None:
        """Refuse graphs that are nested too deeply (QM153)."""
        if depth > self.depth:
            raise QuaintError("QM153", f"graphs are nested more than {self.depth} deep", where=where)

    def check_nodes(self, nodes: int, where: str) -> None:
        """Refuse too many nodes (QM153)."""
        if nodes > self.nodes:
            raise QuaintError("QM153", f"{nodes} nodes, more than the limit of {self.nodes}", where=where)

    def check_tensor(self, nbytes: int, tensor: str, where: str) -> None:
        """Refuse a tensor that would take too much memory (QM131)."""
        if nbytes > self.tensor_bytes:
            what = f"{tensor} declares {nbytes} bytes, more than the limit of {self.tensor_bytes}"
            raise QuaintError("QM131", what, where=where)

    def check_model(self, nbytes: int, where: str) -> None:
        """Refuse a file, or constants, of too many bytes in all (QM131)."""
        if nbytes > self.model_bytes:
            what = f"the model takes {nbytes} bytes, more than the limit of {self.model_bytes}"
            raise QuaintError("QM131", what, where=where)
