"""Golden values of AdapterFusion by Python's `adapters`: forward, gradients, training, and folders it saved.

Writes test/golden/fusion/cases.json, test/golden/fusion/trajectories.json and test/golden/fusion-saved/. Encoders are
those of test/golden/encoders (run encoders.py first). No weights are stored beside them: every parameter of adapters,
fusions and heads is drawn from its own name by `draw`, which test/golden/fusion.ts repeats.

    OMP_NUM_THREADS=1 python tools/golden/fusion.py
"""

import logging
import re
import shutil

import numpy
import torch
from adapters import AdapterPlusConfig, DynamicAdapterFusionConfig, StaticAdapterFusionConfig
from adapters.composition import Fuse, Stack
from adapters.methods.modeling import BertFusion

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, relative, write_json
from trajectories import LABELS, LENGTHS, STEPS, decays

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "fusion"
SAVED = GOLDEN / "fusion-saved"
HEAD = "golden"
CASE_LENGTHS = [7, 4, 6]
CASE_LABELS = torch.tensor([0, 2, 1])

# [pattern of the name, centre, half the width] of a uniform distribution; the first pattern that is found counts.
FILLS = [
    [r"\.adapter_norm_(before|after)\.weight$", 1, 0.5],
    [r"\.scaling$", 1.3, 0.6],
    [r"\.adapter_fusion_layer\..*\.(query|key)\.weight$", 0, 0.2],
    [r"\.adapter_fusion_layer\..*\.value\.weight$", 0, 0.4],
    [r"\.adapters\..*\.weight$", 0, 0.3],
    [r"bias$", 0, 0.3],
    ["", 0, 0.5],
]

DYNAMIC = DynamicAdapterFusionConfig().to_dict()
STATIC = StaticAdapterFusionConfig().to_dict()
SEQ = {"a": "seq_bn[reduction_factor=8]", "b": "seq_bn[reduction_factor=4]"}


def main():
    for folder in (ROOT, SAVED):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    shared = {"provenance": provenance("fusion.py"), "fills": FILLS, "head": HEAD}
    table = cases()
    write_json(ROOT / "cases.json", {
        **shared,
        "note": "All values in float64 from float32 parameters; float32AgainstFloat64 has the worst of logits, attentions and "
        "gradients. Every forward is the first of its fusion (T = 50 with temperature). attentions: rows x tokens x children, "
        "padding included. gradients: of the mean cross-entropy, without dropout and without the regulariser; per parameter its "
        "norm, its product with draw('probe:' + name) and its first three entries. A fusion's parameters are those in gradients, "
        "vanishingGradient and withoutGradient, with fusionKeys their shapes.",
        "labels": CASE_LABELS.tolist(),
        "batches": {family: batch_json(case_batch(family)) for family in sorted({c["encoder"] for c in table.values()})},
        "cases": {name: {**case, **run_case(name, case)} for name, case in table.items()},
        "refused": refused(),
        "initial": initial(),
    })
    write_json(ROOT / "trajectories.json", {
        **shared,
        "note": "The regulariser's gradient 0.02 (Wv - I) joins the gradient of the same step, before clipping; losses leave it "
        "out, regularisers has 0.01 |I - Wv|^2 summed over layers before each step. Encoder and adapters are frozen.",
        "optimiser": {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01, "clip": 1.0, "steps": STEPS},
        **batch_json(make_batch("bert", lengths=LENGTHS, seed=SEED + 5)),
        "labels": LABELS.tolist(),
        "variants": trajectories(),
    })
    write_saved()


def cases():
    """Every case names its adapters as configuration strings, its fusions with all ten fields, and the active setup."""
    table = {}

    def add(name, setup="Fuse(a,b)", adapters=SEQ, config=None, fusions=None, encoder="bert", **more):
        fusions = fusions or [{"name": default_name(setup), "config": {**DYNAMIC, **(config or {})}}]
        for fusion in fusions:
            fusion.setdefault("adapterNames", last_names(setup))
        table[name] = {"encoder": encoder, "adapters": adapters, "fusions": fusions, "setup": setup, "fusion": fusions[-1]["name"], **more}

    flips = {
        "key": False, "query": False, "value": False, "query_before_ln": True, "residual_before": True, "temperature": True,
        "value_before_softmax": False, "value_initialized": False, "regularization": False, "dropout_prob": 0.3,
    }
    add("dynamic", adapterGradients=True)
    add("static", config=STATIC)
    for field, value in flips.items():
        add(field, config={field: value}, **({"adapterGradients": True} if field in ("key", "query_before_ln", "residual_before") else {}))
    add("no-query-no-key", config={"query": False, "key": False})
    add("no-query-no-key-no-value", config={"query": False, "key": False, "value": False})
    add("residual_before-no-key", config={"residual_before": True, "key": False})
    add("residual_before-value-after", config={"residual_before": True, "value_before_softmax": False})
    add("static-query_before_ln-temperature", config={**STATIC, "query_before_ln": True, "temperature": True})

    def two(a, b, **more):
        return {"adapters": {"a": a, "b": b}, **more}

    def seq(text="", r=8):
        return f"seq_bn[reduction_factor={r}{',' if text else ''}{text}]"

    three = {"a": seq(), "b": seq(r=2), "c": seq(r=20)}
    add("single-adapter", "Fuse(a)", adapters={"a": seq()})
    add("three-factors", "Fuse(a,b,c)", adapters=three)
    add("order", "Fuse(c,a,b)", adapters=three)
    add("factor-map", **two(seq(), "seq_bn[reduction_factor={'1': 4, 'default': 8}]"))
    add("activations", "Fuse(a,b,c)", adapters={"a": seq("non_linearity='gelu'"), "b": seq("non_linearity='tanh'"), "c": seq("non_linearity='swish'", r=4)}, adapterGradients=True)
    add("ln_before", **two(seq("ln_before=True"), seq("ln_before=True", r=4), adapterGradients=True))
    add("ln_before-one", **two(seq("ln_before=True"), seq(r=4)))
    add("scaling-number", **two(seq("scaling=0.7"), seq("scaling=2.5", r=4)))
    add("scaling-learned", **two(seq("scaling='learned'"), seq("scaling='learned'", r=4), adapterGradients=True))
    add("scaling-channel", **two(seq("scaling='channel'"), seq("scaling='channel'", r=4), adapterGradients=True))
    add("scaling-mixed", "Fuse(a,b,c)", adapters={"a": seq("scaling='learned'"), "b": seq("scaling='channel'"), "c": seq("scaling=0.7", r=4)})
    add("original_ln_before-last", **two(seq(), seq("original_ln_before=False", r=4)))
    add("original_ln_before-first", **two(seq("original_ln_before=False"), seq(r=4)))
    add("original_ln_before-last-query_before_ln", **two(seq(), seq("original_ln_before=False", r=4)), config={"query_before_ln": True})
    add("original_ln_after-last", **two(seq(), seq("original_ln_after=False", r=4)))
    add("residual_before_ln-last", **two(seq(), seq("residual_before_ln=False", r=4)))
    add("post_add-last", **two(seq(), seq("residual_before_ln='post_add'", r=4)))
    add("gating", **two(seq("use_gating=True"), seq("use_gating=True", r=4)))
    add("ln_after", **two(seq("ln_after=True"), seq("ln_after=True,adapter_residual_before_ln=True", r=4)))
    add("adapter-dropout", **two(seq("dropout=0.3"), seq("dropout=0.5", r=4)))
    add("double_seq_bn", **two("double_seq_bn[reduction_factor=8]", "double_seq_bn[reduction_factor=4]", adapterGradients=True, listKeys=True))
    add("double_seq_bn-static", **two("double_seq_bn[reduction_factor=8]", "double_seq_bn[reduction_factor=4]"), config=STATIC)
    add("double_seq_bn-mixed", "Fuse(a,b,c)", adapters={
        "a": "double_seq_bn[reduction_factor=8,scaling='channel']", "b": "double_seq_bn[reduction_factor=4,non_linearity='gelu',ln_before=True]",
        "c": "double_seq_bn[reduction_factor=16,non_linearity='relu',original_ln_before=True,scaling=0.7]",
    })
    add("mh-only", **two("double_seq_bn[reduction_factor=8,output_adapter=False]", "double_seq_bn[reduction_factor=4,output_adapter=False]"))
    add("par_bn", **two("par_bn[reduction_factor=8]", "par_bn[reduction_factor=4]"))
    add("scaled_par_bn", **two("scaled_par_bn[reduction_factor=8]", "scaled_par_bn[reduction_factor=4]"), config={"query_before_ln": True})
    add("par_bn-residual_before", **two("par_bn[reduction_factor=8]", "par_bn[reduction_factor=4]"), config={"residual_before": True})
    add("par_bn-last", **two(seq(), "par_bn[reduction_factor=4]"))
    add("par_bn-first", **two("par_bn[reduction_factor=4]", seq()))
    add("adapter_plus", **two("adapter_plus[reduction_factor=8,stochastic_depth=0.0]", "adapter_plus[reduction_factor=4,stochastic_depth=0.0]"))
    nested = {"a": seq(), "b": seq(r=4), "c": seq(r=16)}
    add("nested-first", "Fuse(Stack(a,b),c)", adapters=nested, adapterGradients=True)
    add("nested-last", "Fuse(c,Stack(a,b))", adapters=nested)
    add("nested-double_seq_bn", "Fuse(Stack(a,b),c)", adapters={k: f"double_seq_bn[reduction_factor={r}]" for k, r in {"a": 8, "b": 4, "c": 16}.items()})
    add("stack-on-fusion", "Stack(Fuse(a,b),c)", adapters=nested)
    add("fusion-on-stack", "Stack(c,Fuse(a,b))", adapters=nested)
    named = [{"name": "first", "config": DYNAMIC}, {"name": "second", "config": {**STATIC, "query_before_ln": True}}]
    add("named-first", fusions=[dict(named[1]), dict(named[0])])
    add("named-second", fusions=[dict(named[0]), dict(named[1])])
    add("leave_out", "Fuse(a,b,c)", adapters={"a": seq("leave_out=[1]"), "b": seq("leave_out=[0, 1]", r=4), "c": seq(r=16)})
    add("leave_out-layer", **two(seq("leave_out=[1, 2]"), seq("leave_out=[1]", r=4)))
    add("leave_out-nested", "Fuse(Stack(a,b),c)", adapters={"a": seq("leave_out=[0]"), "b": seq("leave_out=[1]", r=4), "c": seq(r=16)})
    for family in ["roberta", "xlm-roberta", "distilbert", "electra", "albert", "albert-groups"]:
        add(family, **two("double_seq_bn[reduction_factor=8]", "double_seq_bn[reduction_factor=4]"), encoder=family, listKeys=True)
    return table


def default_name(setup):
    return next(b for b in [block(setup), *block(setup)] if isinstance(b, Fuse)).name


def last_names(setup):
    return default_name(setup).split(",")


def block(text, name=None):
    """The composition written as text; a name goes to its Fuse."""
    names = {n: n for n in re.findall(r"\b[a-z]\b", text)}
    return eval(text, {"Fuse": lambda *c: Fuse(*c, name=name), "Stack": Stack, **names})


def case_batch(family):
    return make_batch(family, lengths=CASE_LENGTHS, seed=SEED + 7)


def draw(name, shape, fills=FILLS):
    """Values of one parameter: a hash of seed and name, counted up and mixed, 24 bits to [0, 1); float32."""
    start = 0x811C9DC5
    for byte in f"{SEED}:{name}".encode():
        start = (start ^ byte) * 0x01000193 & 0xFFFFFFFF
    x = (start + numpy.arange(int(numpy.prod(shape)), dtype=numpy.uint64) * 0x9E3779B9) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    u = ((x ^ (x >> 16)) >> 8) / 2.0**24
    _, centre, width = next(fill for fill in fills if re.search(fill[0], name))
    return torch.from_numpy((centre + width * (2 * u - 1)).astype(numpy.float32).reshape(tuple(shape)))


def build(case, layers=1, labels=3):
    model = load_encoder(case["encoder"], adapter_model=True)
    for name, text in case["adapters"].items():
        model.add_adapter(name, config=adapter_config(text))
    for fusion in case["fusions"]:
        model.add_adapter_fusion(fusion["adapterNames"], config=fusion["config"], name=fusion["name"])
    model.add_classification_head(HEAD, num_labels=labels, layers=layers)
    model.active_head = HEAD
    fill(model)
    model.set_active_adapters(block(case["setup"], case["fusion"]))
    return model.eval()


def adapter_config(text):
    name, _, body = text.partition("[")
    return AdapterPlusConfig(**eval(f"dict({body[:-1]})")) if name == "adapter_plus" else text


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".adapters." in name or ".adapter_fusion_layer." in name or name.startswith("heads."):
                parameter.copy_(draw(name, parameter.shape))


def run_case(name, case):
    single = evaluate(case, torch.float32)
    double = evaluate(case, torch.float64)
    gradients = {k: g for k, g in double["gradients"].items() if g is not None}
    # Round-off only: a bias of the key that no dropout tells apart, a query that the softmax never sees.
    vanishing = [k for k, g in gradients.items() if float(g.norm()) < 1e-12]
    kept = [k for k in gradients if k not in vanishing]
    worst = max(
        relative(single["logits"], double["logits"]),
        *(float((a["values"].double() - b["values"]).abs().max()) for a, b in zip(single["attentions"], double["attentions"])),
        *(relative(single["gradients"][k], gradients[k]) for k in kept),
    )
    peak = torch.cat([a["values"].amax(-1).flatten() for a in double["attentions"]]).mean()
    print(f"{name:40s} float32 {worst:.1e}  mean of the largest weight {peak:.2f}")
    assert len(case["adapters"]) == 1 or 0.4 < peak < 0.97, name
    return {
        **({"fusionKeys": double["keys"]} if case.get("listKeys") else {}),
        "logits": numbers(double["logits"]),
        "tokenSums": numbers(double["hidden"].sum(-1)),
        "tokenAbsSums": numbers(double["hidden"].abs().sum(-1)),
        "attentions": [{**a, "children": a["values"].shape[-1], "values": short(a["values"].flatten())} for a in double["attentions"]],
        "loss": numbers(double["loss"]),
        "gradients": {k: gradient_digest(k, gradients[k]) for k in kept},
        "vanishingGradient": vanishing,
        "withoutGradient": [k for k, g in double["gradients"].items() if g is None],
        "regulariser": numbers(double["regulariser"]),
        "float32AgainstFloat64": numbers(float(f"{worst:.2g}")),
    }


def evaluate(case, dtype):
    """Forward in eval mode, then gradients in train mode, where nothing is random but the scores' dropout_prob."""
    model, batch = build(case).to(dtype), case_batch(case["encoder"])
    attentions = []
    hooks = [m.register_forward_hook(collector(attentions, k)) for k, m in fusions(model)]
    with torch.no_grad():
        out = model(**batch, output_hidden_states=True, output_adapter_fusion_attentions=True)
    for hook in hooks:
        hook.remove()
    if not case["encoder"].startswith("albert"):
        by_layer = out.adapter_fusion_attentions[case["fusion"]]
        assert len(attentions) == sum(map(len, by_layer.values()))
        assert all(numpy.array_equal(by_layer[a["layer"]][a["site"]], a["values"].numpy()) for a in attentions)
    restart(model)
    model.train_adapter_fusion(block(case["setup"], case["fusion"]), unfreeze_adapters=case.get("adapterGradients", False))
    if case["fusions"][-1]["config"]["dropout_prob"]:
        model.eval()
    trained = model(**batch)
    assert torch.equal(trained.logits, out.logits), "something in train mode is random"
    loss = torch.nn.functional.cross_entropy(trained.logits, CASE_LABELS)
    loss.backward()
    wanted = {k: p for k, p in model.named_parameters() if p.requires_grad and not k.startswith("heads.")}
    active = f".adapter_fusion_layer.{case['fusion']}."
    regulariser = model.base_model.get_fusion_regularization_loss()
    return {
        "logits": out.logits,
        "hidden": out.hidden_states[-1],
        "attentions": attentions,
        "loss": loss,
        "gradients": {k: p.grad for k, p in wanted.items() if active in k or ".adapters." in k},
        "regulariser": 0.0 if regulariser is None else regulariser,
        "keys": {k: list(p.shape) for k, p in model.named_parameters() if active in k},
    }


def fusions(model):
    return [(k, m) for k, m in model.named_modules() if isinstance(m, BertFusion)]


def collector(found, path):
    """Notes the attention of each call; layers are counted where one module serves several (ALBERT)."""
    site = "mh_adapter" if "attention" in path.split(".adapter_fusion_layer")[0] else "output_adapter"

    def hook(module, args, output):
        layer = sum(a["site"] == site for a in found) if "albert_layer_groups" in path else int(re.search(r"layer\.(\d+)\.", path)[1])
        found.append({"layer": layer, "site": site, "values": torch.from_numpy(output[1])})

    return hook


def restart(model):
    """Temperature falls with every forward: back to the first."""
    for _, fusion in fusions(model):
        fusion.T = 50.0 if fusion.config["temperature"] else 1.0


def gradient_digest(name, gradient, fills=FILLS):
    probe = draw(f"probe:{name}", gradient.shape, fills).double()
    return numbers([gradient.norm().item(), (gradient * probe).sum().item(), *gradient.flatten()[:3].tolist()])


def short(values):
    return [float(f"{v:.7g}") for v in values.tolist()]


def refused():
    """Setups that Python cannot run, with the error it raises."""
    seq = "seq_bn[reduction_factor=8]"
    tries = {
        "last adapter left out of a layer where another is": ("Fuse(a,b)", {"a": seq, "b": "seq_bn[reduction_factor=8,leave_out=[1]]"}, "a,b"),
        "nested stack without any adapter in a layer": ("Fuse(Stack(a,b),c)", {**dict.fromkeys("ab", "seq_bn[reduction_factor=8,leave_out=[1]]"), "c": seq}, "b,c"),
        "adapters at different sites": ("Fuse(a,b)", {"a": seq, "b": "double_seq_bn[reduction_factor=8]"}, "a,b"),
        "low-rank adapters": ("Fuse(a,b)", dict.fromkeys("ab", "lora[r=2]"), "a,b"),
        "an adapter that is missing": ("Fuse(a,b)", {"a": seq}, "a,b"),
    }
    out = {}
    for what, (setup, adapters, name) in tries.items():
        case = {"encoder": "bert", "adapters": adapters, "fusions": [{"name": name, "adapterNames": name.split(","), "config": DYNAMIC}], "setup": setup, "fusion": name}
        try:
            with torch.no_grad():
                build(case)(**case_batch("bert"))
            raise AssertionError(f"{what}: Python runs it")
        except (KeyError, ValueError, TypeError, NotImplementedError) as error:
            out[what] = {"setup": setup, "adapters": adapters, "error": type(error).__name__}
    return out


def initial():
    """Fresh parameters at width 768, by config: shape, mean, standard deviation, and the diagonal of the value."""
    out = {}
    for label, config in {"dynamic": DYNAMIC, "static": STATIC, "value_initialized false": {**DYNAMIC, "value_initialized": False}}.items():
        torch.manual_seed(SEED)
        module = BertFusion(config, 768, 0.0)
        out[label] = {k: {"shape": list(p.shape), "mean": numbers(p.mean().item()), "std": numbers(p.std(correction=0).item())} for k, p in module.named_parameters()}
        if config["value"]:
            value = module.value.weight.detach()
            out[label]["value.weight"]["diagonal"] = numbers(value.diagonal()[:3])
            out[label]["value.weight"]["offDiagonal"] = numbers(value[0, 1:4])
    return out


def trajectories():
    adapters = {"a": "seq_bn[reduction_factor=8]", "b": "seq_bn[reduction_factor=4]", "c": "seq_bn[reduction_factor=16,non_linearity='gelu']"}
    double = {"a": "double_seq_bn[reduction_factor=8]", "b": "double_seq_bn[reduction_factor=4]", "c": "double_seq_bn[reduction_factor=16]"}
    variants = {
        "plain": (adapters, DYNAMIC, False),
        "regularised": (adapters, DYNAMIC, True),
        "regularised-both-sites": (double, DYNAMIC, True),
        "static": (adapters, STATIC, False),
        "temperature": (adapters, {**DYNAMIC, "temperature": True}, False),
    }
    out = {}
    for name, (adapters, config, regularised) in variants.items():
        case = {"encoder": "bert", "adapters": adapters, "fusions": [{"name": "a,b,c", "adapterNames": ["a", "b", "c"], "config": config}], "setup": "Fuse(a,b,c)", "fusion": "a,b,c"}
        single, double_ = (train(case, regularised, dtype) for dtype in (torch.float32, torch.float64))
        worst = max(abs(a - b) / abs(b) for a, b in zip(single["losses"], double_["losses"]))
        print(f"{name:40s}", [round(x, 5) for x in double_["losses"]], f"{worst:.1e}")
        out[name] = {**case, "regularised": regularised, **double_, "float32AgainstFloat64": numbers(float(f"{worst:.2g}"))}
    return out


def train(case, regularised, dtype):
    """Fusion and head by AdamW as in trajectories.py; one loss more than steps."""
    model, batch = build(case, layers=2, labels=2).to(dtype), make_batch("bert", lengths=LENGTHS, seed=SEED + 5)
    model.train_adapter_fusion(block(case["setup"], case["fusion"]))
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    before = {k: p.detach().clone() for k, p in model.named_parameters() if not p.requires_grad}
    optimiser = torch.optim.AdamW(
        [{"params": [p for k, p in parameters.items() if decays(k) is flag], "weight_decay": 0.01 if flag else 0.0} for flag in (True, False)],
        lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
    )
    losses, norms, regularisers, temperatures, first = [], [], [], [], {}
    for step in range(STEPS + 1):
        temperatures.append(fusions(model)[0][1].T)
        loss = torch.nn.functional.cross_entropy(model(**batch).logits, LABELS)
        losses.append(loss.item())
        penalty = model.base_model.get_fusion_regularization_loss()
        regularisers.append(0.0 if penalty is None else penalty.item())
        if step == STEPS:
            break
        (loss + penalty if regularised else loss).backward()
        if step == 0:
            first = {k: float(p.grad.norm()) for k, p in parameters.items()}
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)))
        optimiser.step()
        optimiser.zero_grad()
    assert all(torch.equal(before[k], p) for k, p in model.named_parameters() if k in before)
    return {
        "losses": numbers(losses),
        "gradientNorms": numbers(norms),
        "regularisers": numbers(regularisers),
        "temperatures": numbers(temperatures),
        "withoutDecay": [k for k in parameters if not decays(k)],
        "vanishingGradient": [k for k, norm in first.items() if norm < 1e-10],
        # As for gradients in cases.json: norm, product with the probe, first three entries.
        "final": {k: gradient_digest(k, p.detach()) for k, p in parameters.items()},
    }


def write_saved():
    """A saved setup in PyTorch's format, and a second fusion of the same adapters with its head as safetensors.

    Python saves with the weights of "a,b" all keys that merely begin so: those of "a,b-static" are in that file too.
    """
    case = {
        "encoder": "bert",
        "adapters": SEQ,
        "fusions": [
            {"name": "a,b", "adapterNames": ["a", "b"], "config": DYNAMIC},
            {"name": "a,b-static", "adapterNames": ["a", "b"], "config": STATIC},
        ],
        "setup": "Fuse(a,b)",
        "fusion": "a,b",
    }
    model, batch = build(case), case_batch("bert")
    model.add_classification_head("a,b-static", num_labels=2, layers=2, id2label={0: "no", 1: "yes"})
    fill(model)
    model.save_adapter_setup(str(SAVED / "setup"), block("Fuse(a,b)"), head_setup=HEAD)
    model.save_adapter_fusion(str(SAVED / "static"), "a,b-static", with_head=True, use_safetensors=True)
    expected = {}
    for folder, fusion, head in [("setup", "a,b", HEAD), ("static", "a,b-static", "a,b-static")]:
        model.set_active_adapters(block("Fuse(a,b)", fusion))
        model.active_head = head
        with torch.no_grad():
            expected[folder] = {"fusion": fusion, "head": head, "logits": numbers(model.double()(**batch).logits)}
    write_json(SAVED / "expected.json", {
        "provenance": provenance("fusion.py"),
        "note": "setup/ was written by save_adapter_setup, static/ by save_adapter_fusion with its head; both over setup/a and setup/b.",
        "encoder": "bert",
        **batch_json(batch),
        "folders": expected,
    })


if __name__ == "__main__":
    main()
