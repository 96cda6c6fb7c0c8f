"""Loads fusions with their adapters and heads into Python's `adapters` and prints what comes out.

    python tools/golden/load_fusion.py MANIFEST.json

Run by hand, and by the tests in test/interop when the environment variable MULTIGRAFT_PYTHON names a Python that has
torch, transformers and adapters. The manifest (paths are relative to its folder):

    {"tolerance": 1e-5,
     "cases": [
       {"name": "two seq_bn, dynamic",
        "encoder": "path/to/encoder",
        "adapters": ["path/a", "path/b"],  and
        "fusion": "path/fusion",           adapter_fusion_config.json with its weights; or instead of both
        "setup": "path/setup",             a folder with adapter_setup.json
        "head": "path/head",               optional: the fusion's own folder, or the setup's, is used when it holds a head
        "inputIds": [[..]], "attentionMask": [[..]], "tokenTypeIds": [[..]] (optional),
        "logits": [[..]]                   optional: what is expected
       }]}

Prints one JSON object a case: name, ok, fusion and head (their names), adapters (as the fusion names them), logits,
attentions (layer -> site -> rows x tokens x adapters), relative (largest difference over largest value, null without
expected logits), missingKeys and unexpectedKeys of the fusion's file, weights (the file Python chose), error. Exits 0
when no case has an error, a missing or unexpected key or a difference beyond the tolerance, 1 otherwise, 2 for a
manifest that cannot be read.
"""

import json
import logging
import sys
from pathlib import Path

from adapters import AutoAdapterModel
from adapters.composition import Fuse

from check_ours import load_head, saved_keys
from common import torch

logging.getLogger("adapters").setLevel(logging.ERROR)


def main():
    if len(sys.argv) != 2:
        print("usage: load_fusion.py MANIFEST.json", file=sys.stderr)
        return 2
    try:
        path = Path(sys.argv[1])
        manifest = json.loads(path.read_text())
        cases = manifest["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot read the manifest {sys.argv[1]}: {error!r}", file=sys.stderr)
        return 2
    results = [run(case, path.parent, manifest.get("tolerance", 1e-5)) for case in cases]
    for result in results:
        print(json.dumps(result))
    return 0 if results and all(result["ok"] for result in results) else 1


def run(case, root, tolerance):
    result = {
        "name": case.get("name"), "ok": False, "fusion": None, "head": None, "adapters": [], "logits": None, "attentions": None,
        "relative": None, "missingKeys": [], "unexpectedKeys": [], "weights": None, "error": None,
    }
    try:
        model = AutoAdapterModel.from_pretrained(str(root / case["encoder"]), attn_implementation="eager")
        folder = load_setup(model, root / case["setup"], result) if "setup" in case else load_parts(model, case, root, result)
        note_keys(model, folder, result)
        head = root / case["head"] if "head" in case else folder
        if (head / "head_config.json").exists():
            result["head"] = model.active_head = load_head(model, head, not (head / "pytorch_model_head.bin").exists())
        forward(model.eval(), case, result)
        close = result["relative"] is None or result["relative"] <= tolerance
        result["ok"] = close and not result["missingKeys"] and not result["unexpectedKeys"]
    except Exception as error:  # one bad folder must not hide the others' results
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def load_parts(model, case, root, result):
    for adapter in case["adapters"]:
        path = root / adapter
        model.load_adapter(str(path), with_head=False, use_safetensors=not (path / "pytorch_adapter.bin").exists())
    folder = root / case["fusion"]
    config = json.loads((folder / "adapter_fusion_config.json").read_text())
    result["fusion"], result["adapters"] = config["name"], config["adapter_names"]
    # The name does not come back from a model with heads: it is the one in the file.
    model.load_adapter_fusion(str(folder), with_head=False, use_safetensors=uses_safetensors(folder))
    model.set_active_adapters(Fuse(*config["adapter_names"], name=config["name"]))
    return folder


def load_setup(model, folder, result):
    setup, head = model.load_adapter_setup(str(folder), set_active=True, use_safetensors=not list(folder.glob("*/*.bin")))
    fusion = next(b for b in [setup, *setup] if isinstance(b, Fuse))
    result["fusion"], result["adapters"] = fusion.name, [c if isinstance(c, str) else c.last() for c in fusion]
    if isinstance(head, str):
        result["head"] = model.active_head = head
    return folder / fusion.name


def uses_safetensors(folder):
    return not (folder / "pytorch_model_adapter_fusion.bin").exists()


def note_keys(model, folder, result):
    """Python only logs foreign or absent keys; here they count. Saved names may lack the base model's prefix."""
    result["weights"] = "model_adapter_fusion.safetensors" if uses_safetensors(folder) else "pytorch_model_adapter_fusion.bin"
    part = f".adapter_fusion_layer.{result['fusion']}."
    prefix = f"{model.base_model_prefix}."
    saved = {k if k.startswith(prefix) else prefix + k for k in saved_keys(folder / result["weights"])}
    expected = {k for k in model.state_dict() if part in k}
    result["missingKeys"], result["unexpectedKeys"] = sorted(expected - saved), sorted(saved - expected)


def forward(model, case, result):
    names = {"inputIds": "input_ids", "attentionMask": "attention_mask", "tokenTypeIds": "token_type_ids"}
    with torch.no_grad():
        out = model(**{python: torch.tensor(case[ours]) for ours, python in names.items() if ours in case}, output_adapter_fusion_attentions=True)
    result["logits"] = out.logits.tolist()
    layers = out.adapter_fusion_attentions[result["fusion"]]
    result["attentions"] = {i: {site: values.tolist() for site, values in sites.items()} for i, sites in layers.items()}
    if "logits" in case:
        expected = torch.tensor(case["logits"], dtype=torch.float64)
        if expected.shape != out.logits.shape:
            raise ValueError(f"Python gives logits of shape {list(out.logits.shape)}, the case {list(expected.shape)}")
        result["relative"] = float((out.logits.double() - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    sys.exit(main())
