"""Golden values of every operator: outputs and gradients in float64, computed by PyTorch.

    OMP_NUM_THREADS=1 python tools/golden/ops.py

Writes test/golden/ops.json. Inputs are multiples of 1/256, so they are exact in float32. Each differentiable case is
reduced to one number by the projection sum(output * cos(0.5 + 1.3 i)), i counting the elements of the output; the
gradients are those of that number.
"""

import json
import math
import sys
import zlib

import torch

from common import GOLDEN, SEED

F = torch.nn.functional
CASES = []
SKIPPED = {"Equal", "Less", "Greater", "Cast", "QuantizeLinear", "DynamicQuantizeMatMul"}


def floats(*shape, scale=1.0, positive=False):
    return {"dtype": "float32", "shape": list(shape), "scale": scale, "positive": positive}


def ints(*values, shape=None, dtype="int32"):
    return {"dtype": dtype, "shape": [len(values)] if shape is None else list(shape), "values": list(values)}


def bools(*values, shape):
    return {"dtype": "bool", "shape": list(shape), "values": list(values)}


def case(op, name, inputs, compute):
    CASES.append((op, name, inputs, compute))


def draw(name, spec, key):
    """Distinct magnitudes away from zero: no case sits on a kink or a tie by accident."""
    if "values" in spec:
        return list(spec["values"])
    generator = torch.Generator().manual_seed((SEED + zlib.crc32(f"{name}/{key}".encode())) % 2**31)
    noise = torch.randn(spec["shape"], generator=generator, dtype=torch.float64) * spec["scale"]
    steps = (noise * 256).round()
    steps = torch.where(steps.abs() < 4, torch.full_like(steps, 4), steps)
    if spec["positive"]:
        steps = steps.abs() + 32
    return (steps / 256).flatten().tolist()


def define():
    binary = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Max": torch.maximum, "Min": torch.minimum}
    for op, f in binary.items():
        positive = op == "Div"
        case(op, "same shape", dict(a=floats(2, 3), b=floats(2, 3, positive=positive)), f)
        case(op, "broadcast both ways", dict(a=floats(2, 1, 4), b=floats(3, 1, positive=positive)), f)
    case("Add", "row", dict(a=floats(2, 3, 4), b=floats(4)), torch.add)
    case("Add", "scalar", dict(a=floats(2, 3), b=floats()), torch.add)
    case("Add", "no rows", dict(a=floats(0, 3), b=floats(3)), torch.add)
    case("Mul", "one value twice", dict(a=floats(2, 3)), lambda a: a * a)
    case("Div", "scalar by rows", dict(a=floats(), b=floats(2, 3, positive=True)), torch.div)

    unary = {
        "Neg": torch.neg, "Exp": torch.exp, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Relu": torch.relu,
        "Softplus": F.softplus, "Erf": torch.erf, "Gelu": F.gelu, "Sin": torch.sin, "Cos": torch.cos,
    }
    for op, f in unary.items():
        case(op, "rows", dict(x=floats(2, 5, scale=2.0)), f)
    case("Log", "rows", dict(x=floats(2, 5, positive=True)), torch.log)
    case("Sqrt", "rows", dict(x=floats(2, 5, positive=True)), torch.sqrt)
    case("Tanh", "scalar", dict(x=floats()), torch.tanh)
    case("Exp", "no rows", dict(x=floats(0, 2)), torch.exp)
    # torch.erf of float64 is good to an ulp: the series and the continued fraction of the reference meet at 2.5.
    case("Erf", "wide", dict(x=floats(12, scale=3.0)), torch.erf)
    case("Softplus", "wide", dict(x=floats(6, scale=30.0)), lambda x: F.softplus(x, threshold=1000))
    case("Gelu", "second derivative", dict(x=floats(2, 3), u=floats(2, 3)), lambda x, u: first_gradient(F.gelu, x, u))

    case("Where", "same shape", dict(c=bools(1, 0, 0, 1, shape=(2, 2)), a=floats(2, 2), b=floats(2, 2)), torch.where)
    case("Where", "broadcast", dict(c=bools(1, 0, 1, shape=(3,)), a=floats(2, 1), b=floats()), torch.where)
    case("Where", "condition widens", dict(c=bools(1, 0, 0, 1, 1, 0, shape=(2, 3)), a=floats(3), b=floats(2, 1)), torch.where)

    def same(f):
        return lambda a, b: f(a, b).double()

    case("Equal", "integers", dict(a=ints(1, 2, 3), b=ints(1, 0, 3)), same(torch.eq))
    case("Less", "broadcast", dict(a=floats(2, 1), b=floats(3)), same(torch.lt))
    case("Greater", "broadcast", dict(a=floats(2, 1), b=floats(3)), same(torch.gt))
    case("Cast", "to int32", dict(x=floats(6, scale=3.0)), lambda x: x.trunc())
    case("Cast", "bool to float32", dict(x=bools(1, 0, 1, shape=(3,))), lambda x: x.double())
    case("Cast", "int32 to bool", dict(x=ints(2, 0, -1)), lambda x: (x != 0).double())

    reductions = {
        "ReduceSum": lambda x, axes: x.sum(axes, keepdim=True),
        "ReduceMean": lambda x, axes: x.mean(axes, keepdim=True),
        "ReduceMax": lambda x, axes: x.amax(axes, keepdim=True),
    }
    for op, f in reductions.items():
        case(op, "last axis", dict(x=floats(2, 3, 4)), lambda x, f=f: f(x, (-1,)))
        case(op, "axes 0 and 2", dict(x=floats(2, 3, 4)), lambda x, f=f: f(x, (0, 2)))
        case(op, "axis of one", dict(x=floats(3, 1)), lambda x, f=f: f(x, (1,)))
    case("ReduceSum", "no rows", dict(x=floats(0, 3)), lambda x: x.sum((0,), keepdim=True))
    case("ReduceMax", "ties", dict(x={"dtype": "float32", "shape": [2, 3], "values": [1, 2, 2, 3, 3, 3]}), lambda x: x.amax((-1,), keepdim=True))

    case("Reshape", "join two axes", dict(x=floats(2, 3, 4)), lambda x: x.reshape(6, 4))
    case("Reshape", "split an axis", dict(x=floats(6, 4), like=floats(2, 3)), lambda x, like: x.reshape(2, 3, 2, 2) * like.sum())
    case("Reshape", "to a scalar", dict(x=floats(1, 1)), lambda x: x.reshape(()))
    case("Reshape", "no rows", dict(x=floats(2, 0, 4)), lambda x: x.reshape(0, 4))
    case("Transpose", "matrix", dict(x=floats(2, 3)), lambda x: x.permute(1, 0))
    case("Transpose", "cycle", dict(x=floats(2, 3, 4)), lambda x: x.permute(2, 0, 1))
    case("Transpose", "heads", dict(x=floats(2, 3, 2, 2)), lambda x: x.permute(0, 2, 1, 3))
    case("Expand", "new axis", dict(x=floats(3)), lambda x: x.expand(2, 3))
    case("Expand", "symbolic", dict(x=floats(2, 1, 4), like=floats(2, 3)), lambda x, like: x.expand(2, 3, 4) * like.sum())
    case("Expand", "scalar", dict(x=floats()), lambda x: x.expand(3))
    case("Concat", "three along the first", dict(a=floats(2, 3), b=floats(1, 3), c=floats(2, 3)), lambda a, b, c: torch.cat([a, b, c], 0))
    case("Concat", "symbolic parts", dict(a=floats(2, 3), b=floats(2, 2), c=floats(2, 4)), lambda a, b, c: torch.cat([a, b, c], 1))
    case("Concat", "an empty part", dict(a=floats(2, 2), b=floats(2, 0), c=floats(2, 1)), lambda a, b, c: torch.cat([a, b, c], -1))
    case("Slice", "numbers", dict(x=floats(2, 5)), lambda x: x[:, 1:4])
    case("Slice", "from the start to S", dict(x=floats(6, 2), like=floats(4)), lambda x, like: x[:4] * like.sum())
    case("Slice", "from S to S+T", dict(a=floats(3), b=floats(2), x=floats(9, 2)), lambda a, b, x: x[3:5] * (a.sum() * b.sum()))
    case("Slice", "nothing", dict(x=floats(3, 2)), lambda x: x[1:1])
    case("Pad", "numbers", dict(x=floats(2, 2)), lambda x: F.pad(x, (1, 2)))
    case("Pad", "S before and T after", dict(a=floats(3), b=floats(2), x=floats(2, 2)), lambda a, b, x: F.pad(x, (0, 0, 3, 2)) * (a.sum() * b.sum()))

    case("Gather", "repeated rows", dict(table=floats(5, 3), at=ints(4, 1, 4, 0, 4, 1, shape=(2, 3))), lambda table, at: table[at])
    case("Gather", "of a vector", dict(table=floats(5), at=ints(0, 0, 2)), lambda table, at: table[at])
    case("Gather", "of blocks, int64", dict(table=floats(3, 2, 2), at=ints(2, 2, dtype="int64")), lambda table, at: table[at])
    case("Gather", "from the end", dict(table=floats(5, 2), at=ints(-1, 0, -1)), lambda table, at: table[at])
    case("Gather", "nothing", dict(table=floats(5, 2), at=ints()), lambda table, at: table[at])
    case("Gather", "one index", dict(table=floats(5, 2), at=ints(3, shape=())), lambda table, at: table[at])

    def scatter(rows):
        def compute(updates, at):
            width = updates.shape[at.dim():]
            return torch.zeros(rows, *width, dtype=updates.dtype).index_add(0, at.flatten() % rows, updates.reshape(-1, *width))
        return compute

    case("ScatterElements", "repeated rows", dict(updates=floats(2, 3, 2), at=ints(4, 1, 4, 0, 4, 1, shape=(2, 3))), scatter(5))
    case("ScatterElements", "of scalars", dict(updates=floats(3), at=ints(0, 0, 2)), scatter(4))
    case("ScatterElements", "of blocks, int64", dict(updates=floats(2, 2, 2), at=ints(2, 2, dtype="int64")), scatter(3))
    case("ScatterElements", "from the end", dict(updates=floats(3, 2), at=ints(-1, 0, 3)), scatter(4))
    case("GatherElements", "labels", dict(x=floats(4, 3), at=ints(2, 0, 2, 1)), lambda x, at: x.gather(1, at[:, None])[:, 0])
    case("GatherElements", "one column, int64", dict(x=floats(2, 1), at=ints(0, 0, dtype="int64")), lambda x, at: x.gather(1, at[:, None])[:, 0])
    case("OneHot", "labels", dict(x=floats(4), at=ints(2, 0, 2, 1)), lambda x, at: F.one_hot(at, 3).double() * x[:, None])
    case("OneHot", "symbolic width, int64", dict(x=floats(2), at=ints(3, 0, dtype="int64"), like=floats(4)), lambda x, at, like: F.one_hot(at, 4).double() * x[:, None] * like.sum())

    for ta in (False, True):
        for tb in (False, True):
            flags = f"transA {str(ta).lower()}, transB {str(tb).lower()}"
            a = (4, 3) if ta else (3, 4)
            b = (2, 4) if tb else (4, 2)

            def product(x, y, ta=ta, tb=tb, alpha=1.0):
                return alpha * (x.mT if ta else x) @ (y.mT if tb else y)

            case("MatMul", f"2 axes, {flags}", dict(a=floats(*a), b=floats(*b)), product)
            case("MatMul", f"3 axes, alpha, {flags}", dict(a=floats(2, *a), b=floats(2, *b)), lambda x, y, f=product: f(x, y, alpha=0.5))
            case("MatMul", f"4 axes, {flags}", dict(a=floats(2, 2, *a), b=floats(2, 2, *b)), product)
            case("MatMul", f"3 axes by 2, {flags}", dict(a=floats(2, *a), b=floats(*b)), product)
            case("MatMul", f"2 axes by 3, {flags}", dict(a=floats(*a), b=floats(2, *b)), product)
            case("MatMul", f"broadcast batches, {flags}", dict(a=floats(2, 1, *a), b=floats(3, *b)), product)
            case("Gemm", flags, dict(a=floats(*a), b=floats(*b), c=floats(2)), lambda x, y, c, f=product: f(x, y) + c)
    case("MatMul", "inner dimension of one", dict(a=floats(3, 1), b=floats(1, 2)), torch.matmul)
    case("MatMul", "no rows", dict(a=floats(0, 3), b=floats(3, 2)), torch.matmul)
    case("Gemm", "third operand of one row", dict(a=floats(3, 4), b=floats(4, 2), c=floats(1, 2)), lambda a, b, c: a @ b + c)
    case("Gemm", "third operand of all rows", dict(a=floats(3, 4), b=floats(4, 2), c=floats(3, 2)), lambda a, b, c: a @ b + c)
    case("Gemm", "no rows", dict(a=floats(0, 3), b=floats(3, 2), c=floats(2)), lambda a, b, c: a @ b + c)

    for op, f in {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax}.items():
        case(op, "rows", dict(x=floats(3, 4)), lambda x, f=f: f(x, -1))
        case(op, "heads", dict(x=floats(2, 2, 2, 3)), lambda x, f=f: f(x, -1))
        case(op, "one column", dict(x=floats(3, 1)), lambda x, f=f: f(x, -1))
        case(op, "large values", dict(x=floats(2, 4, scale=200.0)), lambda x, f=f: f(x, -1))
        case(op, "second derivative", dict(x=floats(2, 3), u=floats(2, 3)), lambda x, u, f=f: first_gradient(lambda y: f(y, -1), x, u))

    def layer_norm(epsilon):
        return lambda x, gain, bias: F.layer_norm(x, x.shape[-1:], gain, bias, epsilon)

    case("LayerNormalization", "rows", dict(x=floats(3, 4), gain=floats(4), bias=floats(4)), layer_norm(1e-5))
    case("LayerNormalization", "sequences", dict(x=floats(2, 3, 5), gain=floats(5), bias=floats(5)), layer_norm(1e-12))
    case("LayerNormalization", "large epsilon", dict(x=floats(2, 3), gain=floats(3), bias=floats(3)), layer_norm(0.5))
    quantised()


def quantised():
    def rows(x, scale, zero):
        return ((x / scale[:, None]).round() + zero[:, None]).clamp(-128, 127)

    def product(x, w, scale, c):
        ends = torch.cat([x.flatten(), torch.zeros(1, dtype=x.dtype)])
        step = (ends.max() - ends.min()) / 255
        step = step if step > 0 else torch.tensor(1.0, dtype=x.dtype)
        zero = (-ends.min() / step).round()
        steps = ((x / step).round() + zero).clamp(0, 255) - zero
        return steps @ w.double() * step * scale + c

    zeros = ints(0, 3, dtype="int8")
    for name, x in {"rows": floats(2, 3), "beyond the ends": floats(2, 3, scale=400.0)}.items():
        case("QuantizeLinear", name, dict(x=x, scale=floats(2, positive=True), zero=zeros), rows)
    case("QuantizeLinear", "no columns", dict(x=floats(2, 0), scale=floats(2, positive=True), zero=zeros), rows)
    w = ints(-63, 5, 40, 63, 0, -17, 2, 31, dtype="int8", shape=(4, 2))
    operands = dict(w=w, scale=floats(2, scale=0.1, positive=True), c=floats(2))
    for name, x in {"rows": floats(3, 4), "positive numbers": floats(3, 4, positive=True), "one row": floats(1, 4), "no rows": floats(0, 4)}.items():
        case("DynamicQuantizeMatMul", name, dict(x=x, **operands), product)


def first_gradient(f, x, u):
    """The gradient of sum(f(x) * u) by x, itself differentiable."""
    leaf = x if x.requires_grad else x.clone().requires_grad_()
    return torch.autograd.grad((f(leaf) * u).sum(), leaf, create_graph=True)[0]


def short(values):
    return [float(f"{value:.12g}") for value in values]


def run(op, name, inputs, compute):
    label = f"{op}: {name}"
    stored, tensors = {}, {}
    for key, spec in inputs.items():
        values = draw(label, spec, key)
        stored[key] = {"dtype": spec["dtype"], "shape": spec["shape"], "values": values}
        dtype = torch.float64 if spec["dtype"] == "float32" else torch.bool if spec["dtype"] == "bool" else torch.int64
        tensors[key] = torch.tensor(values, dtype=dtype).reshape(spec["shape"])
        if dtype == torch.float64 and op not in SKIPPED:
            tensors[key].requires_grad_()
    output = compute(*tensors.values())
    result = {"op": op, "name": name, "inputs": stored, "output": {"shape": list(output.shape), "values": short(output.flatten().tolist())}}
    if op not in SKIPPED:
        projection = torch.tensor([math.cos(0.5 + 1.3 * i) for i in range(output.numel())], dtype=torch.float64)
        floating = {key: value for key, value in tensors.items() if value.requires_grad}
        gradients = torch.autograd.grad((output.flatten() * projection).sum(), list(floating.values()))
        result["gradients"] = {key: short(gradient.flatten().tolist()) for key, gradient in zip(floating, gradients)}
    return result


def main():
    define()
    cases = [run(*one) for one in CASES]
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    provenance = {"generator": "tools/golden/ops.py", "seed": SEED, "versions": versions}
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    (GOLDEN / "ops.json").write_text(f'{{"provenance":{json.dumps(provenance)},\n"cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases of {len({one['op'] for one in cases})} operators")


if __name__ == "__main__":
    main()
