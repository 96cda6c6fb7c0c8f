"""Loads adapter folders written by this library in Python's `adapters` or `peft` and compares the outputs.

    python tools/golden/check_ours.py MANIFEST.json

Run by hand, and by the tests in test/real when the environment variable MULTIGRAFT_PYTHON names a Python that has
torch, transformers, adapters and peft. The manifest (paths are relative to its folder):

    {"tolerance": 1e-5,
     "cases": [
       {"name": "seq_bn on bert",
        "format": "adapters",              or "peft"
        "encoder": "path/to/encoder",      config.json and weights in the Hugging Face layout
        "adapter": "path/to/adapter",      optional with "adapters": a head alone can be checked
        "head": "path/to/head",            optional: the adapter's own folder is used when it holds head_config.json
        "inputIds": [[..]], "attentionMask": [[..]], "tokenTypeIds": [[..]] (optional),
        "choices": 2,                      optional: rows are grouped by so many for a multiple-choice head
        "logits": [[..]],                  what is expected; or "startLogits" and "endLogits", or "lastHiddenState"
        "labels": [..], "loss": 0.7        optional: the loss as well
       }]}

Prints one JSON object a case ({"name", "ok", "relative", "missingKeys", "unexpectedKeys", "weights", "error"}) and
exits 0 when every case is, in float64 but for ReFT, within the tolerance (largest difference over largest value) with no key missing or
unexpected, 1 otherwise, 2 for a manifest that cannot be read. `weights` says which file Python chose.
"""

import json
import logging
import sys
from pathlib import Path

from adapters.methods.reft import ReftUnit

from common import torch, transformers

logging.getLogger("adapters").setLevel(logging.ERROR)
OUTPUTS = {"logits": "logits", "startLogits": "start_logits", "endLogits": "end_logits", "lastHiddenState": "last_hidden_state", "loss": "loss"}


def main():
    if len(sys.argv) != 2:
        print("usage: check_ours.py MANIFEST.json", file=sys.stderr)
        return 2
    try:
        path = Path(sys.argv[1])
        manifest = json.loads(path.read_text())
        cases = manifest["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot read the manifest {sys.argv[1]}: {error!r}", file=sys.stderr)
        return 2
    results = [check(case, path.parent, manifest.get("tolerance", 1e-5)) for case in cases]
    for result in results:
        print(json.dumps(result))
    return 0 if results and all(result["ok"] for result in results) else 1


def check(case, root, tolerance):
    result = {"name": case.get("name"), "ok": False, "relative": None, "missingKeys": [], "unexpectedKeys": [], "weights": None, "error": None}
    try:
        load = {"adapters": load_adapters, "peft": load_peft}[case["format"]]
        model = load(case, root, result).eval()
        # ReFT of adapters computes in float32 whatever the model is.
        reft = any(isinstance(module, ReftUnit) for module in model.modules())
        result["relative"] = compare(model if reft else model.double(), case)
        result["ok"] = result["relative"] <= tolerance and not result["missingKeys"] and not result["unexpectedKeys"]
    except Exception as error:  # one bad folder must not hide the others' results
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def load_adapters(case, root, result):
    from adapters import AutoAdapterModel

    model = AutoAdapterModel.from_pretrained(str(root / case["encoder"]), attn_implementation="eager")
    folder = root / case["adapter"] if "adapter" in case else None
    head = root / case["head"] if "head" in case else folder if folder and (folder / "head_config.json").exists() else None
    if folder:
        safe = not (folder / "pytorch_adapter.bin").exists()
        result["weights"] = "adapter.safetensors" if safe else "pytorch_adapter.bin"
        info = {}
        name = model.load_adapter(str(folder), with_head=False, use_safetensors=safe, loading_info=info)
        model.set_active_adapters(name)
        keep_projections(model, json.loads((folder / "adapter_config.json").read_text())["config"])
        note_keys(result, info)
        note_unsaved(result, model, name, saved_keys(folder / result["weights"]))
    if head:
        safe = not (head / "pytorch_model_head.bin").exists()
        saved = saved_keys(head / ("model_head.safetensors" if safe else "pytorch_model_head.bin"))
        head_name = load_head(model, head, safe)
        model.active_head = head_name
        expected = {k for k in model.state_dict() if k.startswith(f"heads.{head_name}.")}
        result["missingKeys"] += sorted(expected - saved)
        result["unexpectedKeys"] += sorted(saved - expected)
    else:
        model.active_head = None
    return model


def load_head(model, folder, safe):
    _, name = model.load_head(str(folder), use_safetensors=safe)
    return name


def keep_projections(model, config):
    """load_adapter knows no subtract_projection: a DiReFT that was loaded is a NoReFT."""
    for module in model.modules():
        if isinstance(module, ReftUnit):
            module.subtract_projection = config.get("subtract_projection", True)


def note_keys(result, info):
    result["missingKeys"] += sorted(info.get("missing_keys", []))
    result["unexpectedKeys"] += sorted(info.get("unexpected_keys", []))


def note_unsaved(result, model, name, saved):
    """Python only logs foreign or absent keys; here they count. Saved names may lack the base model's prefix."""
    present = {k for k in model.state_dict() if f".{name}." in k and not k.startswith("heads.")}
    prefix = f"{model.base_model_prefix}."
    known = saved | {prefix + k for k in saved}
    missing = sorted(present - known)
    result["missingKeys"] = sorted({*result["missingKeys"], *missing})


def saved_keys(path):
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return set(load_file(str(path)))
    return set(torch.load(str(path), map_location="cpu", weights_only=True))


def load_peft(case, root, result):
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    folder = root / case["adapter"]
    config = PeftConfig.from_pretrained(str(folder))
    options = {"attn_implementation": "eager"}
    if config.task_type == "SEQ_CLS":
        cls, options = transformers.AutoModelForSequenceClassification, {**options, "num_labels": len(case["logits"][0])}
    elif config.task_type == "TOKEN_CLS":
        cls, options = transformers.AutoModelForTokenClassification, {**options, "num_labels": len(case["logits"][0][0])}
    elif config.task_type == "QUESTION_ANS":
        cls = transformers.AutoModelForQuestionAnswering
    else:
        cls = transformers.AutoModel
    model = PeftModel.from_pretrained(cls.from_pretrained(str(root / case["encoder"]), **options), str(folder))
    result["weights"] = "adapter_model.safetensors" if (folder / "adapter_model.safetensors").exists() else "adapter_model.bin"
    saved, expected = saved_keys(folder / result["weights"]), set(get_peft_model_state_dict(model))
    result["missingKeys"] = sorted(expected - saved)
    result["unexpectedKeys"] = sorted(saved - expected)
    return model


def compare(model, case):
    names = {"inputIds": "input_ids", "attentionMask": "attention_mask", "tokenTypeIds": "token_type_ids"}
    inputs = {python: torch.tensor(case[ours]) for ours, python in names.items() if ours in case}
    if "choices" in case:
        inputs = {k: v.view(-1, case["choices"], v.shape[-1]) for k, v in inputs.items()}
    labels = {"labels": "labels", "startPositions": "start_positions", "endPositions": "end_positions"}
    inputs.update({python: torch.tensor(case[ours]) for ours, python in labels.items() if ours in case})
    with torch.no_grad():
        out = model(**inputs)
    expected = {k: torch.tensor(case[k], dtype=torch.float64) for k in OUTPUTS if k in case}
    if not expected:
        raise ValueError("the case names no expected output")
    worst = 0.0
    for key, value in expected.items():
        found = getattr(out, OUTPUTS[key]).double()
        if found.shape != value.shape:
            raise ValueError(f"{key}: Python gives shape {list(found.shape)}, the case {list(value.shape)}")
        worst = max(worst, float((found - value).abs().max() / value.abs().max()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
