"""Golden values of Stack and Average over bottlenecks, LoRA and (IA)3 by Python's `adapters`, and of Stack over prefixes.

Writes test/golden/composition/cases.json and the folders test/golden/composition/<setup>/ that save_adapter_setup wrote.
No weights are stored for the cases: every parameter of adapters and heads is drawn from its own name by `draw` of
fusion.py (test/golden/fusion.ts repeats it), with the fills of cases.json.

What Python computes:

- Bottlenecks. Stack: each child starts with its own pre-step (original_ln_before) on what the one before gave; the
  post-step (original_ln_after) is the last child's alone. Average: one pre-step, that of the first adapter inside; every
  child on the same input, a Stack inside doing its pre-step once more; the children's results (their residual
  included) are averaged; the post-step of the last adapter inside.
  A parallel child reads the sub-layer's input whatever came before, and its post-step starts from the sub-layer's output:
  children before it in a Stack have no influence (`withoutInfluence`).
  The invertible adapter of the first adapter inside works on the embeddings; those of the others have no influence.
- LoRA. Stack(a, b): y = W x + bias + s_b B_b A_b (s_a B_a A_a x). Average: the children's updates are averaged.
- (IA)3. Stack(i, j): y = l_i l_j (W x + bias). Average: the children's vectors are averaged; y = (sum w l) (W x + bias).
- Prefixes. Stack(p, q): keys and values of q stand before those of p.

Average of `adapters` 1.3.0 takes the mean over its n children of weight times output: n times too little. The expected
values here are the weighted mean with weights that sum to 1: Python was given n times the weights, without normalising.
`python_quirk` has the logits with the weights as they are, which is what a user of Python gets.

    OMP_NUM_THREADS=1 python tools/golden/composition.py
"""

import logging
import re
import shutil

import torch
from adapters.composition import Average, Stack

from common import GOLDEN, batch_json, load_encoder, numbers, provenance, relative, write_json
from fusion import CASE_LABELS, case_batch, draw, gradient_digest
from methods import canonical

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "composition"
HEAD = "golden"

# As in fusion.py. Adapters named i, j, k are (IA)3, whose vectors lie about 1.
FILLS = [
    [r"\.loras\.[ijk]\.lora_B$", 1, 0.5],
    [r"\.loras\..*\.lora_[AB]$", 0, 0.3],
    [r"\.adapter_norm_(before|after)\.weight$", 1, 0.5],
    [r"\.scaling$", 1.3, 0.6],
    [r"\.adapters\..*\.weight$", 0, 0.3],
    [r"\.control_trans$", 0, 1.5],
    [r"bias$", 0, 0.3],
    ["", 0, 0.5],
]

WITH_SILENT = {"par_bn-stack", "par_bn-average-stack", "par_bn-stack-average", "stack-mixed"}
SEQ = {"a": "seq_bn[reduction_factor=8]", "b": "seq_bn[reduction_factor=4]", "c": "seq_bn[reduction_factor=16,non_linearity='gelu']", "d": "seq_bn[reduction_factor=2]"}
DOUBLE = {"a": "double_seq_bn[reduction_factor=8]", "b": "double_seq_bn[reduction_factor=4]", "c": "double_seq_bn[reduction_factor=16]"}
PARALLEL = {"a": "par_bn[reduction_factor=8]", "b": "par_bn[reduction_factor=4]", "c": "scaled_par_bn[reduction_factor=8]"}
LORA = {"a": "lora[r=3,alpha=6]", "b": "lora[r=2,alpha=2]", "c": "lora[r=4,alpha=2]", "d": "lora[r=1,alpha=3]"}
FEED_FORWARD = {k: v.replace("]", ",intermediate_lora=True,output_lora=True,attn_matrices=['q','k','v']]") for k, v in LORA.items()}
IA3 = {"i": "ia3[output_lora=True]", "j": "ia3[output_lora=True,alpha=2]", "k": "ia3[output_lora=True]"}
PREFIX = {"p": "prefix_tuning[prefix_length=3,bottleneck_size=8]", "q": "prefix_tuning_flat[prefix_length=2]"}


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    table = cases()
    write_json(ROOT / "cases.json", {
        "provenance": provenance("composition.py"),
        "fills": FILLS,
        "head": HEAD,
        "note": "withoutInfluence: adapters that another one makes void. All values in float64 from float32 parameters; float32AgainstFloat64 has the worst of logits and gradients. block: "
        "the setup as in adapter_setup.json, with weights that sum to 1. gradients (bert alone): of the mean cross-entropy; per parameter its "
        "norm, its product with draw('probe:' + name) and its first three entries. A prefix is named as in the pool.",
        "labels": CASE_LABELS.tolist(),
        "batches": {family: batch_json(case_batch(family)) for family in sorted({c["encoder"] for c in table.values()})},
        "cases": {name: {**case, **run_case(name, case)} for name, case in table.items()},
        "refused": refused(),
        "saved": {name: write_setup(name, table[name]) for name in ["average-weights", "lora-stack-average", "ia3-average-stack", "stack"]},
    })


def cases():
    table = {}

    def add(name, setup, adapters, encoder="bert"):
        used = set(re.findall(r"\b[a-dijkpq]\b", setup))
        table[name] = {"encoder": encoder, "adapters": {k: v for k, v in adapters.items() if k in used}, "setup": setup}

    nested = {
        "stack": "Stack(a,b)",
        "stack-three": "Stack(c,a,b)",
        "average": "Average(a,b)",
        "average-weights": "Average(a,b,weights=[0.25,0.75])",
        "average-three": "Average(a,b,c,weights=[0.5,0.25,0.25])",
        "average-negative": "Average(a,b,weights=[1.5,-0.5])",
        "stack-average": "Stack(a,Average(b,c,weights=[0.25,0.75]))",
        "stack-average-first": "Stack(Average(a,b),c)",
        "stack-average-twice": "Stack(Average(a,b),Average(c,d,weights=[0.75,0.25]))",
        "average-stack": "Average(Stack(a,b),c,weights=[0.25,0.75])",
        "average-stack-last": "Average(c,Stack(a,b))",
    }
    for name, setup in nested.items():
        add(name, setup, SEQ)
        add(f"lora-{name}", setup, LORA)
    for name in ["stack", "average-weights", "stack-average", "average-stack"]:
        add(f"double_seq_bn-{name}", nested[name], DOUBLE)
        add(f"par_bn-{name}", nested[name], PARALLEL)
        add(f"ia3-{name}", re.sub(r"\b[abc]\b", lambda m: "ijk"["abc".index(m[0])], nested[name]), IA3)
    add("lora-average-all-linears", nested["average-three"], FEED_FORWARD)

    def two(a, b):
        return {"a": f"seq_bn[reduction_factor=8,{a}]", "b": f"seq_bn[reduction_factor=4,{b}]"}

    flags = {
        "original_ln_before-last": ("original_ln_before=True", "original_ln_before=False"),
        "original_ln_before-first": ("original_ln_before=False", "original_ln_before=True"),
        "original_ln_after-last": ("original_ln_after=True", "original_ln_after=False"),
        "residual_before_ln-last": ("residual_before_ln=True", "residual_before_ln=False"),
        "norms": ("ln_before=True,ln_after=True", "ln_after=True,scaling='channel'"),
    }
    for name, (a, b) in flags.items():
        add(f"stack-{name}", "Stack(a,b)", two(a, b))
        add(f"average-{name}", "Average(a,b,weights=[0.25,0.75])", two(a, b))
    add("stack-leave-out", "Stack(a,b)", two("leave_out=[1]", "leave_out=[0]"))
    add("stack-mixed", "Stack(a,b,c)", {"a": SEQ["a"], "b": DOUBLE["b"], "c": PARALLEL["c"]})
    add("stack-seq_bn-lora-ia3", "Stack(a,b,i)", {"a": SEQ["a"], "b": FEED_FORWARD["b"].replace("'k',", "").replace("intermediate_lora=True", "intermediate_lora=False"), "i": "ia3[attn_matrices=['k']]"})
    invertible = {"a": "seq_bn_inv[reduction_factor=8]", "b": "seq_bn_inv[reduction_factor=4]"}
    add("stack-invertible", "Stack(a,b)", invertible)
    add("stack-invertible-second", "Stack(a,b)", {**invertible, "a": SEQ["a"]})
    add("average-invertible", "Average(a,b,weights=[0.25,0.75])", invertible)
    add("stack-prefix", "Stack(p,q)", PREFIX)
    add("stack-prefix-seq_bn", "Stack(p,a)", {**PREFIX, **SEQ})
    for family in ["roberta", "distilbert", "electra", "albert", "albert-groups"]:
        add(f"stack-average-{family}", nested["stack-average"], DOUBLE, family)
        add(f"lora-average-stack-{family}", nested["average-stack"], LORA, family)
    return table


def block(text, quirk):
    """The composition written as text. Without the quirk every Average gets its weights times their number."""

    def average(*children, weights=None):
        if quirk:
            return Average(*children, weights=weights)
        weights = weights or [1 / len(children)] * len(children)
        return Average(*children, weights=[w * len(children) for w in weights], normalize_weights=False)

    return eval(text, {"Stack": Stack, "Average": average, **{n: n for n in re.findall(r"\b[a-q]\b", text)}})


def build(case, quirk=False):
    model = load_encoder(case["encoder"], adapter_model=True)
    for name, text in case["adapters"].items():
        model.add_adapter(name, config=text)
    model.add_classification_head(HEAD, num_labels=3, layers=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mine = is_adapter(name) or name.startswith("heads.")
            parameter.requires_grad = is_adapter(name)
            if mine:
                parameter.copy_(draw(canonical(name), parameter.shape, FILLS))
    model.set_active_adapters(block(case["setup"], quirk))
    model.active_head = HEAD
    return model.eval()


def is_adapter(name):
    return any(f".{kind}." in name for kind in ["adapters", "invertible_adapters", "loras", "prefix_tunings"])


def run_case(name, case):
    single, double = evaluate(case, torch.float32), evaluate(case, torch.float64)
    gradients = {k: g for k, g in double["gradients"].items() if g is not None}
    # Round-off only: a bias of the last adapter before a norm, for instance.
    vanishing = [k for k, g in gradients.items() if float(g.norm()) < 1e-12]
    kept = [k for k in gradients if k not in vanishing]
    worst = max(relative(single["logits"], double["logits"]), *(relative(single["gradients"][k], gradients[k]) for k in kept))
    out = {
        "block": block(case["setup"], quirk=True).to_dict(),
        "logits": numbers(double["logits"]),
        "tokenSums": numbers(double["hidden"].sum(-1)),
        "loss": numbers(double["loss"]),
        **({
            "gradients": {k: gradient_digest(k, gradients[k], FILLS) for k in kept},
            "vanishingGradient": vanishing,
            "withoutGradient": [k for k, g in double["gradients"].items() if g is None],
        } if case["encoder"] == "bert" else {}),
        "float32AgainstFloat64": numbers(float(f"{worst:.2g}")),
    }
    if "Average" in case["setup"]:
        quirk = logits(build(case, quirk=True).double(), case)
        assert relative(quirk, double["logits"]) > 1e-3, name
        out["python_quirk"] = {"logits": numbers(quirk)}
    silent = [a for a in case["adapters"] if not any(f".{a}." in k for k in kept)]
    assert bool(silent) == (name in WITH_SILENT), f"{name}: {silent} does not matter"
    print(f"{name:40s} float32 {worst:.1e} {' '.join(silent)}")
    return {**out, "withoutInfluence": silent}


def evaluate(case, dtype):
    model = build(case).to(dtype)
    out = model(**case_batch(case["encoder"]), output_hidden_states=True)
    loss = torch.nn.functional.cross_entropy(out.logits, CASE_LABELS)
    loss.backward()
    return {
        "logits": out.logits.detach(),
        "hidden": out.hidden_states[-1].detach(),
        "loss": loss.detach(),
        "gradients": {canonical(k): p.grad for k, p in model.named_parameters() if p.requires_grad},
    }


def logits(model, case):
    with torch.no_grad():
        return model(**case_batch(case["encoder"])).logits


def refused():
    """Setups that Python cannot run, with the error it raises."""
    tries = {
        "a first child left out of a layer": ("Average(a,b)", {"a": "seq_bn[leave_out=[1]]", "b": "seq_bn"}),
        "a child of three left out of a layer": ("Average(a,b,c)", {"a": "seq_bn", "b": "seq_bn[leave_out=[1]]", "c": "seq_bn"}),
        "prefixes averaged": ("Average(p,q)", PREFIX),
        "a stack of updates between widths that differ": ("Stack(a,b)", dict.fromkeys("ab", "lora[r=2,output_lora=True]")),
        "an average in an average": ("Average(a,Average(b,c))", SEQ),
        "a stack in a stack": ("Stack(a,Stack(b,c))", SEQ),
    }
    out = {}
    for what, (setup, adapters) in tries.items():
        try:
            logits(build({"encoder": "bert", "adapters": adapters, "setup": setup}), {"encoder": "bert"})
            raise AssertionError(f"{what}: Python runs it")
        except (KeyError, ValueError, RuntimeError, NotImplementedError) as error:
            out[what] = {"setup": setup, "adapters": adapters, "error": type(error).__name__}
    return out


def write_setup(name, case):
    model = build(case)
    model.save_adapter_setup(str(ROOT / name), block(case["setup"], quirk=True), head_setup=HEAD)
    return {"case": name, "folder": f"composition/{name}", "head": HEAD}


if __name__ == "__main__":
    main()
