"""Golden values of several fusions in one setup by Python's `adapters`: two of them in a stack, and one for each task.

Writes test/golden/several-fusions/<setup>/, which save_adapter_setup wrote, and test/golden/several-fusions/cases.json with the logits of
rows of token ids, in float64 from float32 parameters. Python saves MultiTask of fusions and cannot run it ("Cannot nest Fuse inside
BatchSplit"): its rows are answered by the fusion of their task alone. Its adapters make no first step of their own (double_seq_bn).

    OMP_NUM_THREADS=1 python tools/golden/several_fusions.py
"""

import logging
import shutil

import torch
from adapters.composition import Fuse, MultiTask, Stack

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, write_json
from composition import DOUBLE, FILLS, SEQ
from fusion import draw
from methods import canonical

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "several-fusions"
LENGTHS = [7, 4, 6, 3]
FUSED = [(("a", "b"), "static"), (("c", "d"), "dynamic")]


def adapters(texts):
    known = list(texts.values())
    return dict(zip("abcd", [*known, known[0]]))


SETUPS = {
    "stack": (Stack(Fuse("a", "b"), Fuse("c", "d")), SEQ, None),
    "multi-task": (MultiTask(Fuse("a", "b"), Fuse("c", "d")), DOUBLE, [1, 0, 0, 1]),
}


def by_task(model, setup, batch, tasks):
    each = []
    for child in setup.children:
        model.set_active_adapters(child)
        model.active_head = "golden"
        each.append(model(**batch).logits)
    return torch.stack([each[task][row] for row, task in enumerate(tasks)])


def main():
    batch = make_batch("bert", lengths=LENGTHS, seed=SEED + 11)
    cases = {}
    for name, (setup, texts, tasks) in SETUPS.items():
        model = load_encoder("bert", adapter_model=True)
        for adapter, text in adapters(texts).items():
            model.add_adapter(adapter, config=text)
        for names, config in FUSED:
            model.add_adapter_fusion(Fuse(*names), config)
        model.add_classification_head("golden", num_labels=3, layers=1)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if any(part in key for part in [".adapters.", "adapter_fusion_layer", "heads."]):
                    parameter.copy_(draw(canonical(key), parameter.shape, FILLS))
        model.set_active_adapters(setup)
        model.active_head = "golden"
        folder = ROOT / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_adapter_setup(str(folder), setup, head_setup="golden", use_safetensors=True)
        model = model.eval().double()
        with torch.no_grad():
            logits = model(**batch).logits if not tasks else by_task(model, setup, batch, tasks)
        cases[name] = {"taskIds": tasks, "logits": numbers(logits)}
        print(name, numbers(logits)[0])
    write_json(ROOT / "cases.json", {"provenance": provenance("several_fusions.py"), "batch": batch_json(batch), "cases": cases})


if __name__ == "__main__":
    main()
