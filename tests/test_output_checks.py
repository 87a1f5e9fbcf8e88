from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quaint.errors import QuaintError
from quaint.output_checks import check_targets, refuse_inputs

if TYPE_CHECKING:
    from pathlib import Path


def test_all_that_exists_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    targets = [tmp_path / name for name in "abc"]
    with pytest.raises(QuaintError, match="'a' and 1 more") as caught:
        check_targets(targets, [], force=False)
    assert caught.value.code == "QI600"
    assert caught.value.details == (str(tmp_path / "a"), str(tmp_path / "b"))
    check_targets(targets, [], force=True)


def test_inputs_by_another_path(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder" / ".." / "model", tmp_path / "model"):
        with pytest.raises(QuaintError, match="QI601"):
            refuse_inputs([target], [tmp_path / "model"])
    with pytest.raises(QuaintError, match="go into the input"):
        refuse_inputs([tmp_path / "folder" / "deep" / "x"], [tmp_path / "folder"])
    refuse_inputs([tmp_path / "folder-2"], [tmp_path / "model", tmp_path / "folder", tmp_path / "missing"])
