"""A graph of the file in the making: tensors in the runtime's layouts, constants, nodes with unique names.

Quaint's tensors are channel-first; the runtime wants the channel last wherever an operator slides over a map and the
original order where one reshapes. Each tensor is declared in the layout in which its node makes it, and gets a
``Transpose`` (once) where somebody asks for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint_espdl.file.elements import LAYOUT_PREFIX, DataType, EspdlNode, EspdlTensor, ValueInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Layer
    from quaint.numerics import QuantParams

#: Axis ``i`` of the file's tensor is axis ``layout[i]`` of the model's.
Layout = tuple[int, ...]


def original(rank: int) -> Layout:
    """The model's own order."""
    return tuple(range(rank))


def channel_last(rank: int) -> Layout:
    """NHWC of NCHW, NWC of NCW; two axes stay as they are."""
    return (0, *range(2, rank), 1) if rank > 2 else original(rank)


class GraphWriter:
    """Collects nodes, constants and variables.

    Args:
        model: the integer model that is written.
        names: integer tensor -> what the file calls it, where that differs.
        operators: float node -> its operator.
        alignment: filters side by side in the weights of one width, by bits.
    """

    def __init__(
        self,
        model: IntegerModel,
        names: Mapping[str, str],
        operators: Mapping[str, str],
        alignment: Mapping[int, int],
    ) -> None:
        self.model, self.operators, self.alignment = model, operators, alignment
        self.nodes: list[EspdlNode] = []
        self.constants: list[EspdlTensor] = []
        self.variables: dict[str, ValueInfo] = {}
        self._names = names
        self._layouts: dict[str, Layout] = {}
        self._forms: dict[tuple[str, Layout], str] = {}
        self._node_names: set[str] = set()
        self._taken = {names.get(name, name) for name in (*model.shapes, *model.tensors)}

    def params(self, tensor: str) -> QuantParams:
        """How an integer tensor is quantized."""
        return self.model.tensors[tensor]

    def exponent(self, tensor: str) -> int:
        """log2 of the tensor's scale."""
        return int(self.params(tensor).exponents)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The model's shape with a batch of one."""
        return tuple(1 if size is None else size for size in self.model.shapes[tensor])

    def layout(self, tensor: str) -> Layout:
        """The layout in which the tensor was declared."""
        return self._layouts[tensor]

    def declared(self, tensor: str) -> str:
        """The file's name of a tensor as it was declared."""
        return self._forms[tensor, self._layouts[tensor]]

    def declare(self, tensor: str, layout: Layout, dtype: DataType | None = None) -> str:
        """Introduce a tensor of the model in the layout in which a node (or the user) gives it; its name in the file."""
        name = self._names.get(tensor, tensor)
        self._layouts[tensor] = layout
        self._forms[tensor, layout] = name
        self._variable(name, tensor, layout, dtype)
        return name

    def take(self, tensor: str, layout: Layout) -> str:
        """The file's name of a tensor in a layout, transposed if it is not there yet."""
        if (tensor, layout) not in self._forms:
            made = self._layouts[tensor]
            source = self.declared(tensor)
            name = self._forms[tensor, layout] = self.unique(f"{source}_transposed")
            self._variable(name, tensor, layout)
            perm = tuple(made.index(axis) for axis in layout)
            self.node("Transpose", f"{source}_Transpose", (source,), (name,), self.params(tensor), perm=perm)
        return self._forms[tensor, layout]

    def in_order(self, tensor: str) -> str:
        """The file's name of a tensor whose elements lie in the model's order, whatever its dims say."""
        layout = self._layouts[tensor]
        moving = [axis for axis in layout if self.shape(tensor)[axis] != 1]
        return self.take(tensor, layout if moving == sorted(moving) else original(len(layout)))

    def scratch(self, name: str, dims: Sequence[int], like: str) -> str:
        """A variable that the model does not know, quantized like one of its tensors."""
        name = self.unique(name)
        self.variables[name] = ValueInfo(name, tuple(dims), self._dtype(like), (self.exponent(like),))
        return name

    def reals(self, name: str, dims: Sequence[int]) -> str:
        """A variable of floats between two nodes."""
        name = self.unique(name)
        self.variables[name] = ValueInfo(name, tuple(dims), DataType.FLOAT, (0,))
        return name

    def constant(self, name: str, array: NDArray[Any], exponents: tuple[int, ...] = (0,), *, doc: bool = True) -> str:
        """A constant whose elements lie row by row."""
        name = self.unique(name)
        layout = f"{LAYOUT_PREFIX}UNK" if doc else ""
        self.constants.append(EspdlTensor.from_array(name, array, exponents, layout))
        return name

    def node(
        self,
        op_type: str,
        name: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        width: QuantParams,
        **attributes: Any,
    ) -> None:
        """A node; ``width`` says with which integers it works."""
        attributes |= {"quant_type": f"S{width.dtype.bits}"}
        ordered = dict(sorted(attributes.items()))
        self.nodes.append(EspdlNode(_free(name, self._node_names), op_type, tuple(inputs), tuple(outputs), ordered))

    def unique(self, name: str) -> str:
        """The name of a new tensor: this one, or this one with the first number that makes it unique."""
        return _free(name, self._taken)

    def _variable(self, name: str, tensor: str, layout: Layout, dtype: DataType | None = None) -> None:
        dims = tuple(self.shape(tensor)[axis] for axis in layout)
        exponents = (self.exponent(tensor),) if tensor in self.model.tensors else (0,)
        self.variables[name] = ValueInfo(name, dims, dtype or self._dtype(tensor), exponents)

    def _dtype(self, tensor: str) -> DataType:
        integers = self.params(tensor).dtype
        return DataType.BOOL if integers.bits == 1 else DataType.of(integers.storage)


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that is not taken; it is from then on."""
    number, candidate = 0, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


#: Layers that slide over a map: channel last.
SPATIAL = frozenset(
    {"conv", "conv_transpose", "average_pool", "global_average_pool", "max_pool", "prelu", "rearrange", "ResizeLinear"}
)
#: Layers that work on single elements or along axes: any layout, the same at both ends.
POINTWISE = frozenset({"requantize", "clip", "lookup", "WideLookup", "add", "multiply", "concat", "take", "pad"})
POINTWISE |= frozenset({"Softmax", "LogSoftmax", "LpNormalization", "Div", "Mod", "Pow", "Compare"})


def wanted_channel_last(layers: Sequence[Layer]) -> set[str]:
    """The tensors that a layer over a map reads, directly or through layers that do not mind."""
    wanted: set[str] = set()
    for layer in reversed(layers):
        free = layer.op in POINTWISE and "shape" not in layer.attributes
        if layer.op in SPATIAL or (free and layer.outputs[0] in wanted):
            wanted.update(layer.inputs)
    return wanted
