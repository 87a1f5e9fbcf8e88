"""Which array belongs to which input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.samples.spec import TensorSpec

LABELS = "labels"


def match_names(keys: Sequence[str], inputs: Sequence[TensorSpec], where: str) -> dict[str, str]:
    """``{input name: key}``. A key ``labels`` may stand beside the inputs; one array for one input may have any name.

    Raises:
        QuaintError: QC201 where there is nothing, QC212 where a name is missing or unknown.
    """
    names = [spec.name for spec in inputs]
    keys = [key for key in keys if key != LABELS or key in names]
    if not keys:
        raise QuaintError("QC201", "no samples: no array is there", where=where)
    if len(keys) == len(names) == 1:
        return {names[0]: keys[0]}
    missing, unknown = sorted(set(names) - set(keys)), sorted(set(keys) - set(names))
    if missing or unknown:
        wrong = [f"{kind} {', '.join(found)}" for kind, found in (("missing", missing), ("unknown", unknown)) if found]
        hint = f"the model's inputs: {', '.join(sorted(names))}; found: {', '.join(sorted(keys))}"
        raise QuaintError("QC212", f"the arrays are not the model's inputs: {'; '.join(wrong)}", where=where, hint=hint)
    return {name: name for name in names}
