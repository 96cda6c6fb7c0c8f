"""Golden values of BatchSplit, MultiTask, Parallel and Split by Python's `adapters`: blocks whose children act on different rows or tokens.

Writes test/golden/composition-rows/<block>.json and the folders test/golden/composition-rows/<setup>/ that save_adapter_setup wrote,
with a head for each child. Parameters are drawn from their names as in composition.py.

What Python computes:

- The first adapter inside makes the pre-step for all (original_ln_before), the last one the post-step. Where all adapters have the
  same settings, rows of a child that is a name are what that adapter alone makes of them. A block inside makes its pre-step again.
- Prefixes of other lengths than the longest are filled up with keys of zeros that attention can see: all have one length here.
- MultiTask makes the pre-step twice: `python_quirk` has its logits where that matters. The expected values are those of BatchSplit on
  rows sorted by task, put back in order.
- Average divides by the number of its children once more, as composition.py says; expected values are of the mean itself.
- Parallel answers all rows for the first child, then all rows for the next.

    OMP_NUM_THREADS=1 python tools/golden/composition_rows.py [block...]
"""

import logging
import re
import shutil
import sys

import torch
from adapters.composition import Average, BatchSplit, MultiTask, Parallel, Split, Stack

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, relative, write_json
from composition import DOUBLE, FEED_FORWARD, FILLS, IA3, LORA, PARALLEL, SEQ, is_adapter
from fusion import draw, gradient_digest
from methods import canonical

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "composition-rows"
HEAD = "golden"
LENGTHS = [7, 4, 6, 3, 5]
LABELS = torch.tensor([0, 2, 1, 2, 0])
PREFIX = {
    "p": "prefix_tuning[prefix_length=3,bottleneck_size=8]",
    "q": "prefix_tuning_flat[prefix_length=3]",
    "r": "prefix_tuning[prefix_length=3,bottleneck_size=4]",
}
METHODS = {"seq_bn": SEQ, "double_seq_bn": DOUBLE, "par_bn": PARALLEL, "lora": LORA, "ia3": IA3, "prefix": PREFIX}
OTHERS = ["roberta", "distilbert", "electra", "albert"]
EACH = {"a": "a", "b": "b", "c": "c"}
NAMES = {"ia3": {"a": "i", "b": "j", "c": "k"}, "prefix": {"a": "p", "b": "q", "c": "r"}}


def named(setup, method):
    return re.sub(r"\b[abc]\b", lambda m: NAMES.get(method, EACH)[m[0]], setup)


def batch_split():
    table = {}
    for method in METHODS:
        add(table, method, "BatchSplit(a,b,c,batch_sizes=[2,1,2])", method)
        add(table, f"{method}-zero", "BatchSplit(a,b,c,batch_sizes=[2,0,3])", method)
        add(table, f"{method}-stack", "BatchSplit(Stack(a,b),Stack(b,c),batch_sizes=[3,2])" if method == "prefix" else "BatchSplit(Stack(a,b),c,batch_sizes=[3,2])", method)
    for method in ["seq_bn", "lora"]:
        add(table, f"{method}-one", "BatchSplit(a,batch_sizes=5)", method)
        add(table, f"{method}-last", "BatchSplit(a,b,batch_sizes=[0,5])", method)
        add(table, f"{method}-batch-split", "BatchSplit(BatchSplit(a,b,batch_sizes=[1,2]),c,batch_sizes=[3,2])", method)
        add(table, f"{method}-average", "BatchSplit(Average(a,b,weights=[0.25,0.75]),c,batch_sizes=[3,2])", method)
        add(table, f"{method}-in-stack", "Stack(c,BatchSplit(a,b,batch_sizes=[2,3]))", method)
        add(table, f"{method}-before", "Stack(BatchSplit(a,b,batch_sizes=[2,3]),c)", method)
        add(table, f"{method}-in-average", "Average(BatchSplit(a,b,batch_sizes=[2,3]),c,weights=[0.25,0.75])", method)
    add(table, "feed-forward", "BatchSplit(a,b,c,batch_sizes=[2,1,2])", "lora", adapters=FEED_FORWARD)
    for family in OTHERS:
        for method in ["double_seq_bn", "lora", "prefix"]:
            add(table, f"{method}-{family}", "BatchSplit(a,b,c,batch_sizes=[2,1,2])", method, family)
    return table


def multi_task():
    table = {}
    for method in METHODS:
        add(table, method, "MultiTask(a,b,c)", method, task_ids=[2, 0, 1, 0, 2])
    for method in ["double_seq_bn", "lora"]:
        add(table, f"{method}-missing", "MultiTask(a,b,c)", method, task_ids=[2, 0, 2, 0, 2])
        add(table, f"{method}-stack", "MultiTask(Stack(a,b),c)", method, task_ids=[1, 0, 1, 0, 0])
        add(table, f"{method}-average", "MultiTask(Average(a,b,weights=[0.25,0.75]),c)", method, task_ids=[1, 0, 1, 0, 0])
        add(table, f"{method}-in-stack", "Stack(c,MultiTask(a,b))", method, task_ids=[1, 0, 1, 0, 0])
    for family in OTHERS:
        for method in ["double_seq_bn", "lora"]:
            add(table, f"{method}-{family}", "MultiTask(a,b,c)", method, family, task_ids=[2, 0, 1, 0, 2])
    return table


def parallel():
    table = {}
    for method in METHODS:
        add(table, method, "Parallel(a,b,c)", method)
        add(table, f"{method}-in-stack", "Stack(c,Parallel(a,b))", method)
    for method in ["seq_bn", "lora"]:
        add(table, f"{method}-one", "Parallel(a)", method)
        add(table, f"{method}-stack", "Parallel(Stack(a,b),c)", method)
        add(table, f"{method}-average", "Parallel(Average(a,b,weights=[0.25,0.75]),c)", method)
        add(table, f"{method}-batch-split", "Parallel(BatchSplit(a,b,batch_sizes=[2,3]),c)", method)
        add(table, f"{method}-before", "Stack(Parallel(a,b),c)", method)
    dropped = {name: text.replace("]", ",leave_out=[0,1]]") for name, text in SEQ.items()}
    add(table, "seq_bn-late", "Parallel(a,b)", "seq_bn", adapters=dropped)
    add(table, "seq_bn-behind-late", "Stack(c,Parallel(a,b))", "seq_bn", adapters={**dropped, "c": SEQ["c"]})
    add(table, "feed-forward", "Parallel(a,b,c)", "lora", adapters=FEED_FORWARD)
    for family in OTHERS:
        for method in ["double_seq_bn", "lora", "prefix"]:
            add(table, f"{method}-{family}", "Parallel(a,b,c)", method, family)
    return table


def split():
    table = {}
    for method in ["seq_bn", "double_seq_bn", "par_bn"]:
        add(table, method, "Split(a,b,c,splits=[2,1,4])", method)
        add(table, f"{method}-zero", "Split(a,b,c,splits=[0,3,4])", method)
        add(table, f"{method}-stack", "Split(a,Stack(b,c),splits=[3,4])", method)
        add(table, f"{method}-stack-of-one", "Split(Stack(a),b,splits=[3,4])", method)
    add(table, "one", "Split(a,splits=7)", "seq_bn")
    add(table, "split", "Split(Split(a,b,splits=[1,2]),c,splits=[3,4])", "seq_bn")
    add(table, "batch-split", "Split(BatchSplit(a,b,batch_sizes=[2,3]),c,splits=[3,4])", "seq_bn")
    add(table, "average", "Split(Average(a,b,weights=[0.25,0.75]),c,splits=[3,4])", "seq_bn")
    add(table, "in-batch-split", "BatchSplit(Split(a,b,splits=[3,4]),c,batch_sizes=[2,3])", "seq_bn")
    add(table, "in-average", "Average(Split(a,b,splits=[3,4]),c,weights=[0.25,0.75])", "seq_bn")
    add(table, "in-stack", "Stack(c,Split(a,b,splits=[3,4]))", "seq_bn")
    add(table, "before", "Stack(Split(a,b,splits=[3,4]),c)", "seq_bn")
    for family in OTHERS:
        add(table, f"double_seq_bn-{family}", "Split(a,Stack(b,c),splits=[3,4])", "double_seq_bn", family)
    return table


TABLES = {"batch-split": batch_split, "multi-task": multi_task, "parallel": parallel, "split": split}


def add(table, name, setup, method, encoder="bert", task_ids=None, adapters=None):
    setup = named(setup, method)
    adapters = adapters or METHODS[method]
    used = set(re.findall(r"\b[a-dijkp-r]\b", setup))
    table[name] = {"encoder": encoder, "adapters": {k: v for k, v in adapters.items() if k in used}, "setup": setup}
    if task_ids:
        table[name]["taskIds"] = task_ids


def main(only):
    for block, cases in TABLES.items():
        if only and block not in only:
            continue
        table = cases()
        write_json(ROOT / f"{block}.json", {
            "provenance": provenance("composition_rows.py"),
            "fills": FILLS,
            "head": HEAD,
            "note": "All values in float64 from float32 parameters; float32AgainstFloat64 has the worst of logits and gradients. block: the setup as in "
            "adapter_setup.json. gradients (bert alone, not with a head for each child): of the mean cross-entropy over all rows of the logits; per parameter its norm, its product with "
            "draw('probe:' + name) and its first three entries.",
            "labels": LABELS.tolist(),
            "batches": {family: batch_json(case_batch(family)) for family in sorted({c["encoder"] for c in table.values()})},
            "cases": run_cases(block, table),
            "heads": with_heads(block),
        })


def case_batch(family):
    return make_batch(family, lengths=LENGTHS, seed=SEED + 9)


def composition(text, quirk=False):
    """The composition written as text. Without the quirk every Average gets its weights times their number."""

    def average(*children, weights=None):
        if quirk:
            return Average(*children, weights=weights)
        return Average(*children, weights=[w * len(children) for w in weights], normalize_weights=False)

    blocks = {"Stack": Stack, "BatchSplit": BatchSplit, "MultiTask": MultiTask, "Parallel": Parallel, "Split": Split}
    return eval(text, {**blocks, "Average": average, **{n: n for n in re.findall(r"\b[a-r]\b", text)}})


def build(case, setup, heads=(HEAD,)):
    model = load_encoder(case["encoder"], adapter_model=True)
    for name, text in case["adapters"].items():
        model.add_adapter(name, config=text)
    for i, head in enumerate(heads):
        model.add_classification_head(head, num_labels=3 if head == HEAD else 2 + i, layers=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.requires_grad = is_adapter(name)
            if is_adapter(name) or name.startswith("heads."):
                parameter.copy_(draw(canonical(name), parameter.shape, FILLS))
    model.set_active_adapters(setup)
    if len(heads) == 1:
        model.active_head = HEAD
    return model.eval()


def forward(block, case, dtype, quirk=False):
    """Logits of all rows, those of a parallel block under each other."""
    setup, batch = case["setup"], case_batch(case["encoder"])
    ids = case.get("taskIds")
    if ids and not quirk:
        order = sorted(range(len(ids)), key=lambda row: ids[row])
        text = re.sub(r"MultiTask\((.*?)\)(?=\)*$)", lambda m: f"BatchSplit({m[1]},batch_sizes={counts(ids, setup)})", setup)
        model = build(case, composition(text)).to(dtype)
        out = model(**{k: v[order] for k, v in batch.items()}).logits
        return model, out[torch.tensor(order).argsort()]
    model = build(case, composition(setup)).to(dtype)
    if block == "parallel":
        model.active_head = [HEAD] * model.adapters_config.active_setup.parallel_channels
    return model, model(**batch, **({"task_ids": torch.tensor(ids)} if ids else {})).logits


def counts(ids, setup):
    children = len(composition(setup) if setup.startswith("MultiTask") else composition(setup).children[-1])
    return [ids.count(i) for i in range(children)]


def run_cases(block, table):
    found = {}
    for name, case in table.items():
        try:
            found[name] = {**case, **run_case(block, name, case)}
        except (RuntimeError, ValueError, IndexError, KeyError) as error:
            print(f"{block:12s} {name:30s} Python cannot: {type(error).__name__} {str(error)[:90]}")
    return found


def run_case(block, name, case):
    found = {}
    for dtype in [torch.float32, torch.float64]:
        model, logits = forward(block, case, dtype)
        labels = LABELS.repeat(len(logits) // len(LABELS))
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        gradients = {canonical(k): p.grad for k, p in model.named_parameters() if p.requires_grad and p.grad is not None}
        found[dtype] = {"logits": logits.detach(), "loss": loss.detach(), "gradients": gradients}
    single, double = found[torch.float32], found[torch.float64]
    kept = [k for k, g in double["gradients"].items() if float(g.norm()) > 1e-12]
    worst = max(relative(single["logits"], double["logits"]), *(relative(single["gradients"][k], double["gradients"][k]) for k in kept))
    out = {
        "block": composition(case["setup"], quirk=True).to_dict(),
        "logits": numbers(double["logits"]),
        "loss": numbers(double["loss"]),
        **({"gradients": {k: gradient_digest(k, double["gradients"][k], FILLS) for k in kept}} if case["encoder"] == "bert" else {}),
        "float32AgainstFloat64": numbers(float(f"{worst:.2g}")),
    }
    if "taskIds" in case:
        with torch.no_grad():
            quirk = forward(block, case, torch.float64, quirk=True)[1]
        if relative(quirk, double["logits"]) > 1e-9:
            out["python_quirk"] = {"logits": numbers(quirk)}
    print(f"{block:12s} {name:30s} float32 {worst:.1e}{' quirk' if 'python_quirk' in out else ''}")
    return out


def with_heads(block):
    """Logits with a head for each child, and a folder of all of it."""
    setups = {
        "batch-split": ("BatchSplit(a,b,batch_sizes=[2,3])", LORA),
        "parallel": ("Stack(c,Parallel(a,b))", SEQ),
    }
    if block not in setups:
        return {}
    text, adapters = setups[block]
    case = {"encoder": "bert", "adapters": {k: v for k, v in adapters.items() if k in re.findall(r"\b[a-d]\b", text)}, "setup": text}
    model = build(case, composition(text), heads=["a", "b"])
    assert model.active_head != HEAD, model.active_head
    shutil.rmtree(ROOT / block, ignore_errors=True)
    model.save_adapter_setup(str(ROOT / block), composition(text), head_setup=model.active_head)
    with torch.no_grad():
        out = model.double()(**case_batch("bert"))
    logits = {head: numbers(part.logits) for head, part in zip(["a", "b"], out.head_outputs)}
    return {"folder": f"composition-rows/{block}", "logits": logits}


if __name__ == "__main__":
    main(sys.argv[1:])
