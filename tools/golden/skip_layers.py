"""Logits of adapters that do nothing in some layers (`skip_layers` of Python's `adapters`), from folders that methods.py wrote.

Writes test/golden/skip-layers.json. On ALBERT Python counts the layers that it has weights for, so that [0] skips all that share them.

    python tools/golden/skip_layers.py
"""

import torch

from common import GOLDEN, batch_json, load_encoder, make_batch, numbers, provenance, write_json

CASES = [
    ("double_seq_bn", "bert", [0, 2]),
    ("par_bn-electra", "electra", [1]),
    ("lora-all", "bert", [0]),
    ("ia3-roberta", "roberta", [1, 2]),
    ("prefix_tuning-distilbert", "distilbert", [0, 1]),
    ("seq_bn_inv", "bert", [0, 1, 2]),
]


def main():
    out = []
    for variant, family, layers in CASES:
        model = load_encoder(family, adapter_model=True)
        name = model.load_adapter(str(GOLDEN / "methods" / variant))
        model.set_active_adapters(name, skip_layers=layers)
        model.eval()
        batch = make_batch(family)
        with torch.no_grad():
            skipped = model.double()(**batch).logits
            model.set_active_adapters(name)
            assert float((model(**batch).logits - skipped).abs().max()) > 1e-3, variant
        out.append({"folder": f"methods/{variant}", "encoder": family, "skipLayers": layers, "logits64": numbers(skipped)})
    write_json(GOLDEN / "skip-layers.json", {
        "provenance": provenance("skip_layers.py"),
        "batches": {family: batch_json(make_batch(family)) for family in sorted({family for _, family, _ in CASES})},
        "cases": out,
    })


if __name__ == "__main__":
    main()
