"""Loads setups written by this library, with their adapters and head, into Python's `adapters` and compares the logits.

    python tools/golden/load_setups.py MANIFEST.json

The manifest is that of check_ours.py, but a case has "setup", a folder with adapter_setup.json, and perhaps "taskIds". Logits are in
float64. As in composition_rows.py, Average is held against the mean, MultiTask against BatchSplit on rows sorted by task.
"""

import json
import logging
import sys
from pathlib import Path

from adapters import AutoAdapterModel
from adapters.composition import AdapterCompositionBlock, Average, BatchSplit, MultiTask, Parallel

from check_ours import note_unsaved, saved_keys
from common import torch

logging.getLogger("adapters").setLevel(logging.ERROR)


def main():
    path = Path(sys.argv[1])
    manifest = json.loads(path.read_text())
    results = [run(case, path.parent, manifest["tolerance"]) for case in manifest["cases"]]
    for result in results:
        print(json.dumps(result))
    return 0 if results and all(result["ok"] for result in results) else 1


def run(case, root, tolerance):
    result = {"name": case["name"], "ok": False, "relative": None, "missingKeys": [], "weights": None, "error": None}
    try:
        folder = root / case["setup"]
        model = AutoAdapterModel.from_pretrained(str(root / case["encoder"]), attn_implementation="eager")
        safe = not list(folder.glob("*/*.bin"))
        result["weights"] = "adapter.safetensors" if safe else "pytorch_adapter.bin"
        setup, head = model.load_adapter_setup(str(folder), set_active=True, use_safetensors=safe)
        for name in setup.flatten():
            note_unsaved(result, model, name, saved_keys(folder / name / result["weights"]))
        ids = torch.tensor(case.get("taskIds", [0] * len(case["inputIds"])))
        model.set_active_adapters(meant(setup, ids))
        channels = model.adapters_config.active_setup.parallel_channels
        model.active_head = [head] * channels if any(isinstance(b, Parallel) for b in blocks(setup)) else head
        names = {"inputIds": "input_ids", "attentionMask": "attention_mask", "tokenTypeIds": "token_type_ids"}
        order = ids.argsort(stable=True)
        with torch.no_grad():
            found = model.double().eval()(**{python: torch.tensor(case[ours])[order] for ours, python in names.items() if ours in case}).logits
        found = found.view(-1, len(ids), found.shape[-1])[:, order.argsort()].flatten(0, 1)
        expected = torch.tensor(case["logits"], dtype=torch.float64)
        result["relative"] = float((found - expected).abs().max() / expected.abs().max())
        result["ok"] = result["relative"] <= tolerance and not result["missingKeys"]
    except Exception as error:  # one bad folder must not hide the others' results
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def blocks(block):
    return [block, *(one for child in block if isinstance(child, AdapterCompositionBlock) for one in blocks(child))]


def meant(block, ids):
    """The block without what Python does twice; `ids` are the tasks of the rows."""
    if not isinstance(block, AdapterCompositionBlock):
        return block
    block.children = [meant(child, ids) for child in block.children]
    if isinstance(block, Average):
        block.weights = [weight * len(block.children) for weight in block.weights]
    if isinstance(block, MultiTask):
        return BatchSplit(*block.children, batch_sizes=[int((ids == i).sum()) for i in range(len(block.children))])
    return block


if __name__ == "__main__":
    sys.exit(main())
