"""Write anew what programs make in the documentation: outputs of commands, help texts, tables.

``python docs/regenerate.py`` rewrites the pages in place; ``tests/test_docs.py`` fails where that would change more than
numbers. Every page is run from top to bottom, in a folder of its own that holds ``examples/``:

* a ``python`` block is executed, all blocks of a page in one namespace; an ``<!-- output -->`` block after it is what it prints;
* in a ``console`` block the lines after ``$ quaint ...`` are what the command prints;
* what stands between ``<!-- generated: NAME ... -->`` and ``<!-- end -->`` is what the function of that name gives.

A comment right before a block may say ``<!-- skip: reason -->``, ``<!-- needs: package -->``, ``<!-- exit: 5 -->`` (the exit
code to expect) or ``<!-- quiet -->`` (the output is not shown).
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click.testing
import onnx
import onnx.parser

import quaint
from quaint.cli.group import quaint as command_line
from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
COLUMNS = "120"
LINE = 80
OPEN_SIZES = """<ir_version: 10, opset_import: ["" : 21]>
dynamic (float[N, 3, H, W] image) => (float[N, 3, H, W] scores) { scores = Relu(image) }"""
BLOCK = re.compile(
    r"<!-- generated: (?P<generated>[^\n]*) -->\n.*?<!-- end -->"
    r"|(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


#: Pages whose blocks are files of a package, run by tests of their own.
PACKAGES = {"add-a-chip.md", "custom-pattern.md", "hooks.md"}


def pages() -> list[Path]:
    """Every page whose blocks are run."""
    found = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in PACKAGES]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


@contextlib.contextmanager
def workspace() -> Iterator[None]:
    """A new working directory with the examples, and the models that pages name without making them."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        digits = Path(folder) / "examples" / "digits"
        shutil.copy(digits / "digits.onnx", Path(folder) / "model.onnx")
        onnx.save(onnx.parser.parse_model(OPEN_SIZES), Path(folder) / "dynamic.onnx")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


class Page:
    """A page while it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""

    def renewed(self) -> str:
        """The page as it should be.

        Raises:
            AssertionError: where a command ends with another exit code than the page says.
        """
        return BLOCK.sub(self._block, self.path.read_text("utf-8"))

    def _block(self, match: re.Match[str]) -> str:
        whole, note = match[0], match["note"] or ""
        if match["generated"]:
            name, *words = match["generated"].split()
            return f"<!-- generated: {match['generated']} -->\n{GENERATED[name](*words)}\n<!-- end -->"
        missing = note.startswith("needs: ") and importlib.util.find_spec(note.removeprefix("needs: ")) is None
        if note.startswith("skip: ") or missing:
            return whole
        opening = whole[: whole.index("```")]
        if note == "output":
            return f"{opening}```{match['language']}\n{self._printed}```"
        if match["language"] == "python":
            self._execute(match)
        if match["language"] == "console":
            return f"{opening}```console\n{self._console(match['body'], note)}```"
        return whole

    def _execute(self, match: re.Match[str]) -> None:
        line = match.string[: match.start("body")].count("\n")
        code = compile("\n" * line + match["body"], str(self.path), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self._namespace)  # noqa: S102 - the documentation is ours
        self._printed = printed.getvalue()

    def _console(self, body: str, note: str) -> str:
        """The block with the output of each ``quaint`` command in it; other commands are left as they are."""
        parts = re.split(r"^(?=\$ )", body, flags=re.MULTILINE)
        return "".join(self._command(part, note) for part in parts if part)

    def _command(self, part: str, note: str) -> str:
        given = re.match(r"\$ ((?:.*\\\n)*.*\n)", part)
        if given is None or not given[1].startswith("quaint "):
            return part
        expected = int(note.removeprefix("exit: ")) if note.startswith("exit: ") else 0
        output = run(shlex.split(given[1].replace("\\\n", " "))[1:], expected)
        return given[0] if note == "quiet" else f"{given[0]}{output}"


def run(arguments: list[str], expected: int = 0) -> str:
    """What ``quaint`` prints on both streams."""
    runner = click.testing.CliRunner(env={"COLUMNS": COLUMNS})
    result = runner.invoke(command_line, arguments, prog_name="quaint")
    assert result.exit_code == expected, f"quaint {shlex.join(arguments)}: exit {result.exit_code}\n{result.output}"
    lines = [line.rstrip() for line in result.output.rstrip().splitlines()]
    return "\n".join([*lines, ""])


def help_text(*command: str) -> str:
    """The help text of a command."""
    return f"```text\n{run([*command, '--help'])}```"


def targets() -> str:
    """A table of the targets of the plugins in this repository."""
    rows = []
    for component, plugin in registry().components("quaint_targets"):
        info = next(info for info in registry().plugins if info.name == plugin)
        rows.append((f"`{component.name}`", component.summary, f"`{info.distribution}`"))
    return table(("target", "what it is", "package"), rows)


def formats() -> str:
    """A table of the number formats of each target."""
    rows = []
    for name in registry().names("quaint_targets"):
        chip = registry().get("quaint_targets", name)
        bias = ", ".join(f"{dtype} ({bits}-bit weights)" for bits, dtype in chip.bias.items())
        rows.append((f"`{name}`", spec(chip.weight), spec(chip.activation), spec(chip.input or chip.activation), bias))
    return table(("target", "weights", "activations", "input", "bias"), rows)


def spec(wish: Any) -> str:
    """A ``QuantSpec`` in words."""
    scale = {"float": "float scale", "power_of_two": "power-of-two scale"}.get(str(wish.scale), str(wish.scale))
    zero = "" if wish.symmetric else ", zero point"
    return f"{wish.dtype}, {scale} {'for each channel' if wish.axis is not None else 'for a tensor'}{zero}"


def rules() -> str:
    """A table of rounding, host and files of each target."""
    rows = []
    for name in registry().names("quaint_targets"):
        chip = registry().get("quaint_targets", name)
        host = ", ".join(
            "any other, with a warning" if op == "*" else f"`{op}`" for op in sorted(chip.host, reverse=True)
        )
        exporter = f"exporter `{chip.exporter}`" if chip.exporter else "the saved model alone"
        rows.append((f"`{name}`", f"`{chip.rounding}`", f"`{chip.input_rounding or chip.rounding}`", host, exporter))
    return table(("target", "rounding", "of the input", "float layers allowed on the host", "files"), rows)


def layers(target: str) -> str:
    """A table of the layers of a target, in the order in which they are tried."""
    chip = registry().get("quaint_targets", target)
    rows = [(f"`{cls.__name__}`", inspect.getdoc(cls).splitlines()[0]) for cls in chip.patterns]
    return table(("layer", "what it covers"), rows)


def defaults() -> str:
    """A table of what each target does where the configuration says nothing."""
    rows = []
    for name in registry().names("quaint_targets"):
        chip = registry().get("quaint_targets", name)
        weight = chip.weight.dtype.bits
        first = chip.defaults.get("input_weight_bits", weight)
        bits = (f"{weight} ({listed(chip.weight_bits)})", str(first))
        activation = f"{chip.activation.dtype.bits} ({listed(chip.activation_bits)})"
        rows.append((f"`{name}`", *bits, activation, listed(chip.input_dtypes), f"`{chip.activation.observer}`"))
    columns = (
        "`weight_bits` (allowed)",
        "`input_weight_bits`",
        "`activation_bits` (allowed)",
        "`input_dtype`",
        "`observer`",
    )
    return table(("target", *columns), rows)


def options() -> str:
    """A table of the options of each target; targets that share them stand in one row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in registry().names("quaint_targets"):
        for option, about in registry().get("quaint_targets", name).options.items():
            choices = ", ".join(map(str, about.choices)) or type(about.default).__name__
            default = str(about.default) or "none"
            rows.setdefault((f"`{option}`", choices, default, about.help), []).append(f"`{name}`")
    return table(
        ("option", "values", "default", "meaning", "targets"), [(*row, ", ".join(t)) for row, t in rows.items()]
    )


def listed(items: Any) -> str:
    """``2, 4, 8``."""
    return ", ".join(map(str, items))


def components(hook: str) -> str:
    """A table of what is on offer at a hook."""
    return table(("name", "what it does"), [(f"`{c.name}`", c.summary) for c, _ in registry().components(hook)])


def documentation(path: str) -> str:
    """Signature and docstring of a public object: ``quantize``, ``Quantized.run``."""
    thing: Any = quaint
    for name in path.split("."):
        thing = getattr(thing, name)
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(thing)).replace("(self, ", "("))
    signature = re.sub(r"<function .*? at \w+>|<factory>", "...", signature)
    if len(signature) > LINE:
        opening, _, closing = signature.rpartition(")")
        signature = "(\n    " + re.sub(r", (?=\w+: |\*, )", ",\n    ", opening[1:]) + f",\n){closing}"
    return f"```text\n{path}{signature}\n\n{inspect.getdoc(thing)}\n```"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


GENERATED = {
    "help": help_text,
    "targets": targets,
    "options": options,
    "formats": formats,
    "rules": rules,
    "layers": layers,
    "defaults": defaults,
    "components": components,
    "python": documentation,
}


def main() -> None:
    """Rewrite the pages named on the command line, or all."""
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    for path in chosen:
        with workspace():
            text = Page(path).renewed()
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
