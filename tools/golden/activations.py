"""Golden values of the activation functions: outputs and slopes in float64, computed by transformers and adapters.

    OMP_NUM_THREADS=1 python tools/golden/activations.py

Writes test/golden/activations.json. Every name of transformers' ACT2FN and of adapters' Activation_Function_Class that
has no parameters of its own is in it; those that are left out are listed with the reason.
"""

import json

import torch
from adapters.methods.modeling import Activation_Function_Class
from transformers.activations import ACT2CLS, ACT2FN

from common import GOLDEN, provenance

# Multiples of 1/256, exact in float32, off the kinks at -10, 0, 6 and 10.
INPUTS = [-30.0, -10.25, -6.5, -3.0, -1.5, -0.75, -0.25, -0.01171875, 0.01171875, 0.25, 0.5, 1.0, 2.25, 3.5, 5.75, 6.25, 9.75, 10.5, 30.0]
# The name that only adapters knows.
ADAPTERS_ONLY = ["leakyrelu"]
LEFT_OUT = {
    "prelu": "has a trainable parameter",
    "xielu": "has trainable parameters",
}


def measure(function):
    x = torch.tensor(INPUTS, dtype=torch.float64, requires_grad=True)
    y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return {"outputs": y.tolist(), "slopes": slope.tolist()}


def main():
    cases = {}
    for name in sorted(ACT2CLS):
        if name not in LEFT_OUT:
            cases[name] = measure(ACT2FN[name])
    for name in ADAPTERS_ONLY:
        cases[name] = measure(Activation_Function_Class(name))
    left_out = {name: why for name, why in LEFT_OUT.items() if name in ACT2CLS}
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(case, separators=(',', ':'))}" for name, case in cases.items())
    head = f'"provenance":{json.dumps(provenance("activations.py", seed=None))},\n"leftOut":{json.dumps(left_out)},\n"inputs":{json.dumps(INPUTS)}'
    (GOLDEN / "activations.json").write_text(f"{{{head},\n\"cases\":{{\n{lines}\n}}}}\n")
    print(len(cases), list(cases), left_out)


if __name__ == "__main__":
    main()
