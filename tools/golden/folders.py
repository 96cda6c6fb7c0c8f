"""Golden folders of kinds that other generators do not write, each with what Python computes from it.

Writes test/golden/folders/ and test/golden/folders/folders.json: heads without a last bias, fixed heads that `adapters.init` saved
and an AdapterModel converts, adapters of older versions, an encoder whose embeddings are as wide as its layers. Run encoders.py first.

    python tools/golden/folders.py                      # all of it anew
    python tools/golden/folders.py heads                # these cases alone
"""

import copy
import json
import logging
import shutil
import sys

import adapters
import torch
import transformers
from adapters.heads import ClassificationHead, MultiLabelClassificationHead

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, relative, tiny_config, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "folders"
NAMES = {0: "alpha", 1: "beta", 2: "gamma"}
LENGTHS = [7, 5, 8, 3]


def main():
    groups = {"encoders": encoders, "heads": heads, "fixed": fixed, "old": old_adapters}
    path = ROOT / "folders.json"
    cases = json.loads(path.read_text())["cases"] if path.exists() else {}
    for group in sys.argv[1:] or groups:
        cases = {name: case for name, case in cases.items() if case["group"] != group}
        shutil.rmtree(ROOT / group, ignore_errors=True)
        cases.update({f"{group}/{name}": {"group": group, **case} for name, case in groups[group]().items()})
    batches = {family: batch_json(make_batch(family, LENGTHS)) for family in ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert"]}
    write_json(path, {
        "provenance": provenance("folders.py"),
        "note": "Every case names its encoder (a folder of test/golden), and its batch by family. logits64 are those of the float64 model.",
        "batches": batches,
        "cases": dict(sorted(cases.items())),
    })


def encoders():
    """ELECTRA with embeddings as wide as its layers has no projection, ALBERT has one all the same."""
    out = {}
    for family, cls in {"electra": transformers.ElectraModel, "albert": transformers.AlbertModel}.items():
        config = tiny_config(family)
        config.embedding_size = config.hidden_size
        config.num_hidden_layers = 1
        model = randomise(cls(config), SEED + len(family)).eval()
        folder = ROOT / "encoders" / family
        model.save_pretrained(str(folder))
        with torch.no_grad():
            single = model(**make_batch(family, LENGTHS)).last_hidden_state
            double = model.double()(**make_batch(family, LENGTHS)).last_hidden_state
        out[family] = {"encoder": f"folders/encoders/{family}", "batch": family, "hidden64": numbers(double), "float32AgainstFloat64": relative(single, double)}
    return out


def heads():
    """`bias` false takes the bias of the last linear alone."""
    cases = {
        "no-bias-2": (ClassificationHead, dict(num_labels=3, layers=2, bias=False, id2label=NAMES)),
        "no-bias-3": (ClassificationHead, dict(num_labels=2, layers=3, bias=False, activation_function="gelu_new", dropout_prob=0.1)),
        "no-bias-pooler": (MultiLabelClassificationHead, dict(num_labels=3, layers=2, bias=False, use_pooler=True)),
        "no-bias-linear": (ClassificationHead, dict(num_labels=3, layers=3, bias=False, activation_function=None)),
        "labels-with-a-gap": (ClassificationHead, dict(num_labels=3, layers=1, id2label={0: "alpha", 2: "gamma"})),
    }
    out = {}
    for index, (name, (cls, options)) in enumerate(cases.items()):
        model = load_encoder("bert", adapter_model=True)
        model.add_prediction_head(cls(model, name, **options))
        randomise(model.heads[name], SEED + index, weight_std=0.3)
        (ROOT / "heads" / name).mkdir(parents=True)
        model.save_head(str(ROOT / "heads" / name), name)
        model.active_head = name
        out[name] = {"encoder": "encoders/bert", "batch": "bert", "head": f"folders/heads/{name}", **outputs(model, make_batch("bert", LENGTHS))}
    return out


FIXED = {
    "SequenceClassification": dict(num_labels=3, id2label=NAMES, label2id={v: k for k, v in NAMES.items()}),
    "TokenClassification": dict(num_labels=3), "QuestionAnswering": {}, "MultipleChoice": {}, "MaskedLM": {},
}
PYTHON = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "distilbert": "DistilBert", "electra": "Electra", "albert": "Albert"}


def fixed():
    """Heads of transformers' own classes, as `adapters.init` and save_head leave them, loaded by an AdapterModel."""
    cases = {f"{family}-{kind}": (family, kind, options) for family in PYTHON for kind, options in FIXED.items()}
    cases["bert-regression"] = ("bert", "SequenceClassification", dict(num_labels=1))
    out = {}
    for index, (name, (family, kind, options)) in enumerate(cases.items()):
        path = str(GOLDEN / "encoders" / family)
        model = getattr(transformers, f"{PYTHON[family]}For{kind}").from_pretrained(path, attn_implementation="eager", **options)
        model.config._name_or_path = model.name_or_path = f"multigraft-tiny-{family}"
        adapters.init(model)
        randomise_where(model, SEED + 3 * index, lambda key: not key.startswith(model.base_model_prefix))
        folder = ROOT / "fixed" / name
        folder.mkdir(parents=True, exist_ok=True)
        with_adapter = family == "bert"
        if with_adapter:
            model.add_adapter("old", config="seq_bn")
            randomise_where(model, SEED + 3 * index + 1, lambda key: ".adapters.old." in key)
            model.save_adapter(str(folder), "old")
        else:
            model.save_head(str(folder))
        loaded = load_encoder(family, adapter_model=True)
        if with_adapter:
            loaded.set_active_adapters(loaded.load_adapter(str(folder)))
        else:
            loaded.load_head(str(folder), load_as="old")
        assert loaded.active_head == "old", loaded.active_head
        batch = make_batch(family, LENGTHS)
        if kind == "MultipleChoice":
            batch = {k: v.view(-1, 2, v.shape[-1]) for k, v in batch.items()}
        out[name] = {
            "encoder": f"encoders/{family}", "batch": family, ("adapter" if with_adapter else "head"): f"folders/fixed/{name}",
            **outputs(loaded, batch, rows=1 if kind == "MaskedLM" else None),
        }
    return out


def randomise_where(model, seed, chosen):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if chosen(key):
                centre = 1.0 if "norm" in key.lower() and key.endswith("weight") else 0.0
                parameter.copy_(centre + 0.3 * torch.randn(parameter.shape, generator=generator))


def old_adapters():
    """Adapters with what older versions wrote: their keys, their configurations, their weight files."""
    import re

    old_keys = [(r"output\.adapters\.", "output.layer_text_task_adapters."), (r"^bert\.", "")]
    language = [(r"output\.adapters\.", "output.layer_text_lang_adapters."), ("invertible_adapters", "invertible_lang_adapters")]
    version_1 = {
        "adapter_residual_before_ln": False, "attention_type": "sent-lvl-dynamic", "ln_after": False, "ln_before": False, "mh_adapter": False,
        "new_attention_norm": False, "non_linearity": "gelu", "original_ln_after": True, "original_ln_before": True, "output_adapter": True,
        "reduction_factor": 16, "residual_before_ln": True,
    }
    both = {**version_1, "mh_adapter": True, "non_linearity": "gelu_orig", "reduction_factor": 8}
    block = {"block_type": "nice", "non_linearity": "gelu", "reduction_factor": 2}
    language_1 = {**version_1, "invertible_adapter": block}
    cases = {
        "version-1-task": ("seq_bn[non_linearity='gelu_new']", dict(config=version_1, type="text_task"), old_keys, True),
        "version-1-both": ("seq_bn[mh_adapter=True,non_linearity='gelu',reduction_factor=8]", dict(config=both, type="text_task"), [(r"attention\.output\.adapters\.", "attention.output.attention_text_task_adapters."), *old_keys], True),
        "version-1-language": ("seq_bn_inv[non_linearity='gelu_new']", dict(config=language_1, type="text_lang"), language, True),
        "version-1-task-unused-invertible": ("seq_bn[non_linearity='gelu_new']", dict(config=language_1, type="text_task"), old_keys, True),
        "name-of-a-configuration": ("pfeiffer", dict(config="pfeiffer"), [], False),
        "lora-before-1.1": ("lora[r=4,alpha=12]", dict(version="adapters.1.0.1"), [], False),
        "lora-since-1.1": ("lora[r=4,alpha=12]", dict(version="adapters.1.1.0"), [], True),
        "not-a-number": ("seq_bn", dict(note=float("nan"), more=[float("inf"), -float("inf")]), [], False),
        "prompt": ("prompt_tuning[prompt_length=3]", {}, [], True),
        "left-out": ("double_seq_bn", {}, [], False),
        "left-out-lora": ("lora[leave_out=[2]]", {}, [], False),
    }
    leave = {"left-out": [1], "left-out-lora": [0, 2]}
    out = {}
    for index, (name, (text, changes, keys, legacy)) in enumerate(cases.items()):
        model = load_encoder("bert", adapter_model=True)
        model.add_adapter("a", config=text)
        randomise_where(model, SEED + 5 * index, lambda key: re.search(r"\.a\.", key))
        folder = ROOT / "old" / name
        folder.mkdir(parents=True, exist_ok=True)
        model.save_adapter(str(folder), "a")
        config = json.loads((folder / "adapter_config.json").read_text())
        config.update(changes)
        if name.startswith("version-1"):
            del config["version"]
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
        weights = torch.load(folder / "pytorch_adapter.bin", weights_only=True)
        for before, after in keys:
            weights = {re.sub(before, after, key): value for key, value in weights.items()}
        torch.save(weights, folder / "pytorch_adapter.bin", _use_new_zipfile_serialization=not legacy)
        loaded = load_encoder("bert", adapter_model=True)
        options = {"leave_out": leave[name]} if name in leave else {}
        # An old file says whether it holds an adapter for tasks; Python asks that where it is told so.
        loaded.set_active_adapters(loaded.load_adapter(str(folder), **options))
        loaded.eval()
        batch = make_batch("bert", LENGTHS)
        with torch.no_grad():
            # A prompt stands before the text.
            single, double = (one(**batch).last_hidden_state[:, -max(LENGTHS):] for one in (loaded, copy.deepcopy(loaded).double()))
        out[name] = {
            "encoder": "encoders/bert", "batch": "bert", "adapter": f"folders/old/{name}", **({"leaveOut": leave[name]} if name in leave else {}),
            "hidden64": numbers(double), "float32AgainstFloat64": relative(single, double),
        }
    return out


def outputs(model, batch, rows=None):
    """Logits in the order of ours: rows, tokens and outputs one after another."""
    def logits(out):
        return (torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits)[:rows]

    model.eval()
    with torch.no_grad():
        single, double = logits(model(**batch)), logits(model.double()(**batch))
    return {"logits64": numbers(double), "float32AgainstFloat64": relative(single, double)}


if __name__ == "__main__":
    main()
