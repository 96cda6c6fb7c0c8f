"""Golden values of prefixes whose network was replaced by what it computes: eject_prefix_tuning of Python's `adapters`.

Writes test/golden/ejected/<case>/, an adapter with its head as save_adapter wrote it before, and test/golden/ejected/cases.json with the
flat prefix and the logits afterwards. The encoder is that of test/golden/encoders/bert (run encoders.py first).

    OMP_NUM_THREADS=1 python tools/golden/ejected.py
"""

import logging
import shutil

import torch
from adapters import ConfigUnion, LoRAConfig, PrefixTuningConfig

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "ejected"
CASES = {
    "prefix": PrefixTuningConfig(prefix_length=3, bottleneck_size=8, leave_out=[1]),
    "gated": PrefixTuningConfig(prefix_length=2, bottleneck_size=6, non_linearity="relu", use_gating=True, shared_gating=False),
    "union": ConfigUnion(PrefixTuningConfig(prefix_length=2, bottleneck_size=8), LoRAConfig(r=2, alpha=4)),
}


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    # Gates of Python read pads too: rows of one length.
    batch = make_batch("bert", lengths=[6, 6, 6], seed=SEED + 13)
    write_json(ROOT / "cases.json", {
        "provenance": provenance("ejected.py"),
        "note": "prefix: the parameter control_trans that eject_prefix_tuning makes; logits with it, in float64 from float32 parameters.",
        **batch_json(batch),
        "cases": {name: case(name, config, batch, SEED + i) for i, (name, config) in enumerate(CASES.items())},
    })


def case(name, config, batch, seed):
    model = load_encoder("bert", adapter_model=True)
    model.add_adapter("x", config=config)
    model.add_classification_head("x", num_labels=3, layers=1)
    model.set_active_adapters("x")
    added = {k: p for k, p in model.named_parameters() if any(part in k for part in ["prefix", "loras", "heads."])}
    randomise(Named(added), seed)
    model.save_adapter(str(ROOT / name), "x")
    model.double()
    with torch.no_grad():
        before = model(**batch).logits
        model.eject_prefix_tuning("x")
        after = model(**batch).logits
    assert torch.allclose(before, after, atol=1e-10)
    (prefix,) = {p.data_ptr(): p for k, p in model.named_parameters() if k.endswith("control_trans")}.values()
    return {"prefix": numbers(prefix), "logits": numbers(after)}


class Named(torch.nn.Module):
    """Parameters of another model, for `randomise`."""

    def __init__(self, parameters):
        super().__init__()
        self.parameters_by_name = parameters

    def named_parameters(self):
        return self.parameters_by_name.items()


if __name__ == "__main__":
    main()
