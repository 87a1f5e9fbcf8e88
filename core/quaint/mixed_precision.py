"""Search for mixed precision: the fewest layers with more bits that bring a model within an error budget.

The float model is prepared once and every tensor's range is measured once for each width; a trial then only chooses
parameters and lowers. Layers are tried in the order of what they do to the outputs when they alone are quantized, the
most promising few in each round, and the one that helps most is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.pipeline import (
    DEFAULT_BATCH,
    batches,
    canonical,
    divide,
    find_target,
    gather,
    load_model,
    prepare,
    quantizer_of,
    wishes,
)
from quaint.quantized import Quantized
from quaint.report.layer_errors import Bench, sensitivities
from quaint.report.metrics import Noise, Share, top1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.numerics import QuantSpec
    from quaint.partition import Plan
    from quaint.samples import Samples
    from quaint.scales import Range
    from quaint.target import Target

#: Samples that a trial is measured on; candidates of each round; layers at the most.
MEASURED, CANDIDATES, MOST = 64, 6, 16
#: Samples that layers are ranked on, all float tensors of which are held at once.
RANKED = 8


@dataclass(frozen=True)
class Budget:
    """What the result must keep to; None for what does not matter.

    Args:
        nsr: noise-to-signal power over all outputs, at the most.
        agreement: share of samples that keep the float model's class, at the least.
        layers: layers with more bits, at the most.
    """

    nsr: float | None = None
    agreement: float | None = None
    layers: int | None = None

    @classmethod
    def parse(cls, wishes: Sequence[str]) -> Budget:
        """``nsr=0.05``, ``agreement=0.99``, ``layers=3``, or several of them.

        Raises:
            QuaintError: QU109 for anything else.
        """
        kinds: dict[str, Callable[[str], Any]] = {"nsr": float, "agreement": float, "layers": int}
        given: dict[str, Any] = {}
        for wish in wishes:
            name, _, text = wish.partition("=")
            try:
                given[name] = kinds[name](text)
            except (KeyError, ValueError) as error:
                hint = "it takes nsr=0.05, agreement=0.99 or layers=3"
                raise QuaintError("QU109", f"{wish!r} is no budget", hint=hint) from error
        return cls(**given)

    def met(self, trial: Trial) -> bool:
        """Whether nothing more is wanted; never without a wish for errors: then all layers that are allowed are spent."""
        close = self.nsr is None or (trial.noise is not None and trial.noise <= self.nsr)
        same = self.agreement is None or (trial.agreement is not None and trial.agreement >= self.agreement)
        return close and same and not (self.nsr is None and self.agreement is None)


@dataclass(frozen=True)
class Trial:
    """A choice of layers, and what became of it.

    Args:
        layers: those with more bits.
        noise: noise-to-signal power over all outputs; None where it is infinite.
        agreement: share of samples that keep the float model's class; None where it has none.
    """

    layers: tuple[str, ...]
    noise: float | None
    agreement: float | None


@dataclass(frozen=True)
class Found:
    """The result.

    Args:
        target: name of the chip.
        bits: of the chosen layers.
        met: whether the budget is met.
        curve: from no layer to the last that was chosen, one more each time.
        config: wishes that give the same model again.
        quantized: that model.
    """

    target: str
    bits: int
    met: bool
    curve: tuple[Trial, ...]
    config: Config
    quantized: Quantized


def search(
    source: Any,
    target: str | Target,
    samples: Any = None,
    budget: Budget | Sequence[str] | str = "nsr=0.05",
    config: Config | None = None,
    *,
    layout: str | None = None,
    begin: Callable[[str], None] = lambda _: None,
) -> Found:
    """Find the fewest layers with more bits that meet a budget.

    Args:
        source: path of a float model, or a model of one of the frameworks.
        target: name of the chip, or the ``Target`` itself.
        samples: to calibrate and to measure on (the first 64); random ones, with a warning, if None.
        budget: a ``Budget``, or text as ``Budget.parse`` takes it.
        config: wishes that stand; layers named there are left as they are.
        layout: of the samples.
        begin: told what is being done.

    Raises:
        QuaintError: QU109 for a budget that is none, QT340 where the target has no more bits than the configuration asks for.
    """
    if not isinstance(budget, Budget):
        budget = Budget.parse([budget] if isinstance(budget, str) else budget)
    chip = find_target(target)
    given = config or Config()
    config = wishes(chip, given)
    bits = _more_bits(chip, config)
    begin("load")
    model = canonical(load_model(source), config)
    workshop = _Workshop(model, chip, config, gather(model, config, samples, layout), bits)
    begin("sensitivity")
    order = workshop.order()
    begin("search")
    curve = _climb(workshop, order, budget)
    chosen = curve[-1].layers
    best = workshop.quantize(chosen)
    return Found(chip.name, bits, _satisfied(budget, curve[-1]), tuple(curve), workshop.wishes(chosen, given), best)


def _satisfied(budget: Budget, trial: Trial) -> bool:
    return budget.met(trial) or (budget.nsr is None and budget.agreement is None)


def _more_bits(chip: Target, config: Config) -> int:
    """The next width that both weights and activations may have.

    Raises:
        QuaintError: QT340 if there is none.
    """
    now = max(config.weight_bits or chip.weight.dtype.bits, config.activation_bits or chip.activation.dtype.bits)
    wider = [bits for bits in sorted(chip.weight_bits) if bits > now and bits in chip.activation_bits]
    if not wider:
        hint = f"weights may have {chip.weight_bits}, activations {chip.activation_bits}"
        raise QuaintError("QT340", f"{chip.name} has no more than {now} bits for whole layers", hint=hint)
    return wider[0]


def _climb(workshop: _Workshop, order: Sequence[str], budget: Budget) -> list[Trial]:
    """Add the layer that helps most until the budget is met or spent, or nothing helps any more."""
    curve = [workshop.trial(())]
    limit = MOST if budget.layers is None else budget.layers
    waiting = list(order)
    while waiting and len(curve[-1].layers) < limit and not budget.met(curve[-1]):
        trials = [workshop.trial((*curve[-1].layers, name)) for name in waiting[:CANDIDATES]]
        best = min(trials, key=_noise)
        if _noise(best) >= _noise(curve[-1]):
            break
        curve.append(best)
        waiting.remove(best.layers[-1])
    return curve


def _noise(trial: Trial) -> float:
    return float("inf") if trial.noise is None else trial.noise


class _Workshop:
    """Makes quantized models that differ in the widths of their layers, from ranges that are measured once.

    Args:
        model: canonical.
        chip: the target.
        config: wishes that stand.
        samples: to calibrate and to measure on.
        bits: of the layers that are chosen.
    """

    def __init__(self, model: ir.Model, chip: Target, config: Config, samples: Samples, bits: int) -> None:
        self.chip, self.config, self.samples, self.bits = chip, config, samples, bits
        self._size = config.batch_size or DEFAULT_BATCH
        self._seen: dict[tuple[str, QuantSpec | None], Range] = {}
        plan = divide(model, chip, config)
        self._quantizer = quantizer_of(config)
        prepare(self._quantizer, plan, samples)
        self.model = plan.model
        self.layers = tuple(block.name for block in plan.blocks if not config.for_layer(block.node_names))
        measured = samples.first(MEASURED, measuring=True)
        self._real = FloatModel(self.model)
        self._feeds = list(measured.batches(self._size))
        self._wanted = [self._real.run(feeds) for feeds in self._feeds]

    def _batches(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        return batches(self.samples, self._size, lambda _done, _total: None)

    def wishes(self, layers: Sequence[str], given: Config | None = None) -> Config:
        """The configuration for a choice of layers: all of it, or what goes beside the wishes that were ``given``."""
        base = given or self.config
        return replace(base, layers={**base.layers, **{name: {"bits": self.bits} for name in layers}})

    def order(self) -> list[str]:
        """Layers that may have more bits, those first that do most to the outputs when they alone are quantized."""
        effects = self._effects()
        able = [name for name in self.layers if name in effects and self._is_able(name)]
        self.quantize(able)  # every range with more bits is measured here, at once
        return sorted(able, key=lambda name: -effects[name])

    def _effects(self) -> dict[str, float]:
        """What each layer does to the outputs when it alone is quantized; nothing of what that takes is kept."""
        quantized = replace(self.quantize(()), samples=self.samples)
        return {row.layer: row.noise or 0.0 for row in sensitivities(Bench(quantized, RANKED))}

    def _is_able(self, name: str) -> bool:
        try:
            divide(self.model.clone(), self.chip, self.wishes([name]))
        except QuaintError as error:
            if not error.code.startswith("QT"):
                raise
            return False
        return True

    def quantize(self, layers: Sequence[str]) -> Quantized:
        """The model with more bits in these layers."""
        from quaint.lower import lower
        from quaint.specs import resolve_specs

        config = self.wishes(layers)
        plan = divide(self.model.clone(), self.chip, config)
        specs = resolve_specs(plan)
        ranges = self._ranges(plan, specs)
        source = plan.model.clone()
        params = self._quantizer.choose(plan, specs, ranges)
        integer, warnings = lower(plan, params, ranges)
        return Quantized(integer, self.chip, config, source, plan.refusals, tuple(warnings))

    def _ranges(self, plan: Plan, specs: Mapping[str, QuantSpec | None]) -> dict[str, Range]:
        """The range of every edge, measured now if it has not been with this spec."""
        from quaint.calibrate import calibrate

        edges = [name for name in plan.edges if not plan.is_cut_off(name)]
        if any((name, specs[name]) not in self._seen for name in edges):
            found = calibrate(plan, specs, self._batches, self.config.epochs or 1)
            self._seen |= {(name, specs[name]): seen for name, seen in found.items()}
        return {name: self._seen[name, specs[name]] for name in edges}

    def trial(self, layers: tuple[str, ...]) -> Trial:
        """Measure a choice of layers."""
        quantized, noise, same = self.quantize(layers), Noise(), Share()
        for feeds, wanted in zip(self._feeds, self._wanted, strict=True):
            made = quantized.run(feeds)
            for name, values in wanted.items():
                noise.add(made[name], values)
            first = next(iter(wanted))
            mine, theirs = top1(made[first]), top1(wanted[first])
            if mine is not None and theirs is not None:
                same.add(mine == theirs)
        return Trial(layers, noise.ratio, same.ratio)
