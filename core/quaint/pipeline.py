"""The road from a float model to integers: each stage knows the type that it takes and the type that it gives."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onnx_ir as ir

    from quaint.partition import Plan
    from quaint.quantized import Quantized
    from quaint.quantizers.ranges import Ranges
    from quaint.samples import Samples
    from quaint.target import Target

DEFAULT_SAMPLES = 1024
DEFAULT_BATCH = 32
#: How warnings about what exceeds the hardware begin.
NOT_DEPLOYABLE = "not deployable"
RANDOM_WARNING = "no samples were given: ranges come from random integers and accuracy will be poor; pass --samples"


@dataclass
class Stages:
    """Seconds of each stage, and callbacks that are told of progress.

    Args:
        begin: called with a stage's name when it begins.
        step: called with the samples done and their number.
    """

    begin: Callable[[str], None] = lambda _: None
    step: Callable[[int, int], None] = lambda _done, _total: None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a stage."""
        self.begin(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def quantize(
    source: Any,
    target: str | Target,
    samples: Any = None,
    config: Config | None = None,
    *,
    example_inputs: Any = None,
    layout: str | None = None,
    stages: Stages | None = None,
) -> Quantized:
    """Turn a float model into the integer program of a chip.

    Args:
        source: path of a model, or a model of one of the frameworks.
        target: name of the chip, or the ``Target`` itself.
        samples: what ``quaint.samples.open_samples`` takes; None draws random ones, with a warning.
        config: wishes; they go before the target's defaults.
        example_inputs: for front ends that trace (a ``torch.nn.Module``).
        layout: ``nchw`` or ``nhwc``, how the samples are laid out where not as the model takes them.
        stages: to be told of progress.

    Raises:
        QuaintError: for anything that the user can mend.
    """
    stage = stages or Stages()
    chip = find_target(target)
    config = wishes(chip, config)
    with stage("load"):
        model = load_model(source, example_inputs)
    with stage("canonicalize"):
        model = canonical(model, config)
    with stage("partition"):
        plan = divide(model, chip, config)
    return finish(plan, gather(model, config, samples, layout), stage)


def wishes(target: Target, config: Config | None) -> Config:
    """The wishes over the target's defaults, checked against what there is before anything is read.

    Raises:
        QuaintError: QT340 for widths that the target lacks, QT341 for an option that it lacks, QU103 or QU104 for an unknown
            observer or quantizer.
    """
    from quaint.options import with_options
    from quaint.specs import check_widths

    config = with_options(target, (config or Config()).over(Config.from_dict(target.defaults)))
    check_widths(target, config)
    if config.observer is not None:
        registry().get("quaint_observers", config.observer, code="QU103")
    _quantizers(config.quantizer or "ranges")
    return config


def finish(plan: Plan, samples: Samples, stage: Stages) -> Quantized:
    """The numeric half: prepare, calibrate, choose, lower."""
    from quaint.allocator import give_back
    from quaint.calibrate import calibrate
    from quaint.lower import lower
    from quaint.quantized import Calibration, Quantized
    from quaint.specs import resolve_specs

    config = plan.config
    quantizer = quantizer_of(config)
    size = config.batch_size or DEFAULT_BATCH
    with stage("prepare"):
        specs = resolve_specs(plan)
        prepare(quantizer, plan, samples)
    source = plan.model.clone()  # what errors are measured against, whatever choosing does to the biases
    with stage("calibrate"):
        ranges = calibrate(plan, specs, lambda: batches(samples, size, stage.step), config.epochs or 1, len(samples))
        give_back()
    with stage("choose"):
        params = quantizer.choose(plan, specs, ranges)
    with stage("lower"):
        integer, warnings = lower(plan, params, ranges)
        give_back()
    warnings = [*([RANDOM_WARNING] if samples.random else []), *host_warnings(plan), *warnings]
    used = Calibration(len(samples), samples.digest(), samples.random)
    return Quantized(
        integer, plan.target, config, source, plan.refusals, tuple(warnings), dict(stage.seconds), used, samples
    )


def prepare(quantizer: Ranges, plan: Plan, samples: Samples) -> None:
    """Let a quantizer change the weights, on as many samples as it wants."""
    from quaint.quantizers.walk import fixed_batch

    quantizer.prepare(plan, next(samples.batches(max(quantizer.samples, fixed_batch(plan) or 1))))


def quantizer_of(config: Config) -> Ranges:
    """A new quantizer of the kind that is wished for; several, joined by ``+``, one after the other."""
    from quaint.quantizers.ranges import Steps

    return Steps([make() for make in _quantizers(config.quantizer or "ranges")])


def _quantizers(names: str) -> list[type[Ranges]]:
    """The quantizers that ``equalize+bias-correction`` names, in order."""
    return [registry().get("quaint_quantizers", name.strip(), code="QU104") for name in names.split("+")]


def host_warnings(plan: Plan) -> list[str]:
    """What was rewritten for the chip, what only the simulators run, what it lacks, and what therefore runs elsewhere."""
    first = [*plan.rewritten, *(f"{NOT_DEPLOYABLE}: {excess}" for excess in plan.excesses)]
    if not plan.refusals:
        return first
    where = f"{len(plan.tail)} nodes from {plan.tail[0].name!r} on run in float on the host"
    lacking = [f"not on the chip: {refusal}" for refusal in plan.refusals]
    return [*first, f"{plan.target.name} stops before the end: {where}", *lacking]


def batches(samples: Samples, size: int, step: Callable[[int, int], None]) -> Iterator[Mapping[str, Any]]:
    """Samples in batches, telling ``step`` of each."""
    done = 0
    for batch in samples.batches(size):
        yield batch
        done += len(next(iter(batch.values())))
        step(done, len(samples))


def find_target(target: str | Target) -> Target:
    """A target by name; case, dashes and underscores do not matter.

    Raises:
        QuaintError: QT300 for an unknown name, listing the known ones.
    """
    if not isinstance(target, str):
        return target

    def bare(name: str) -> str:
        return name.lower().replace("-", "").replace("_", "")

    same = [name for name in registry().names("quaint_targets") if bare(name) == bare(target)]
    return cast("Target", registry().get("quaint_targets", same[0] if len(same) == 1 else target))


def load_model(source: Any, example_inputs: Any = None) -> ir.Model:
    """A float model through the front end of its file's format or of its class's framework.

    Raises:
        QuaintError: QM100 where no front end fits, listing the known ones; QM107 if the model is a quantized one.
    """
    frontend = front_end(source)
    if reads_quantized(frontend):
        hint = "quaint run and quaint inspect take it as it is"
        raise QuaintError("QM107", "quantized already, where a float model is wanted", where=str(source), hint=hint)
    return cast("ir.Model", frontend(source, **({} if example_inputs is None else {"example_inputs": example_inputs})))


def reads_quantized(frontend: Any) -> bool:
    """Whether what a front end reads are quantized models: the files of some chip."""
    return bool(getattr(frontend, "quantized", False))


def front_end(source: Any) -> Any:
    """The front end of a file's format or of a class's framework.

    Raises:
        QuaintError: QM100 where none fits, listing the known ones.
    """
    names = registry().names("quaint_frontends")
    if isinstance(source, str | Path):
        from quaint.frontends.detect import frontend_of

        key, what = frontend_of(Path(source), names), "model format"
    else:
        modules = [cls.__module__.partition(".")[0] for cls in type(source).__mro__]
        key, what = next((module for module in modules if module in names), modules[0]), "model framework"
    return registry().get("quaint_frontends", key, code="QM100", what=what)


def canonical(model: ir.Model, config: Config) -> ir.Model:
    """The canonical form of a float model."""
    from quaint.canonicalize import canonicalize

    return canonicalize(model, shapes=config.shapes or None)


def divide(model: ir.Model, target: Target, config: Config) -> Plan:
    """Rewrite and partition, patterns for this target from elsewhere first; fits clips of the model to integers."""
    from quaint.partition import partition
    from quaint.quantizers.clips import fit_clips
    from quaint.rewrite import rewrite
    from quaint.scope import extended, offered

    config.check_selectors(node.name or "" for node in model.graph)
    lines = rewrite(model, target, config)
    plan = partition(model, extended(target), config, offered(target))
    plan = replace(plan, rewritten=lines)
    fit_clips(plan)
    return plan


def gather(model: ir.Model, config: Config, samples: Any, layout: str | None = None) -> Samples:
    """Samples to calibrate a model with: the first ``config.num_samples`` of those given, else random ones."""
    from quaint.samples import Samples, input_specs, open_samples, random_samples

    inputs = input_specs(model)
    if samples is None:
        return random_samples(inputs, config.num_samples or DEFAULT_SAMPLES, config.seed or 0)
    known = isinstance(samples, Samples)
    given = cast("Samples", samples) if known else open_samples(samples, inputs, layout=layout, calibration=True)
    return given.first(config.num_samples) if config.num_samples else given
