"""Shared parts of the golden-value generators: seeds, tiny encoders, a fixed batch, JSON output.

The generators import this module; it writes nothing by itself. Run them in a Python environment with the
versions that each output file names under "provenance", for example:

    OMP_NUM_THREADS=1 python tools/golden/encoders.py      # first: the others read its checkpoints
    OMP_NUM_THREADS=1 python tools/golden/modernbert.py
    OMP_NUM_THREADS=1 python tools/golden/modernbert_adapters.py
    OMP_NUM_THREADS=1 python tools/golden/relative.py
    OMP_NUM_THREADS=1 python tools/golden/methods.py
    OMP_NUM_THREADS=1 python tools/golden/heads.py
    OMP_NUM_THREADS=1 python tools/golden/masked_lm.py
    OMP_NUM_THREADS=1 python tools/golden/trajectories.py
    OMP_NUM_THREADS=1 python tools/golden/peft_lora.py
    OMP_NUM_THREADS=1 python tools/golden/peft_others.py
    OMP_NUM_THREADS=1 python tools/golden/fusion.py
    OMP_NUM_THREADS=1 python tools/golden/composition.py
    OMP_NUM_THREADS=1 python tools/golden/composition_rows.py
    OMP_NUM_THREADS=1 python tools/golden/mtl_lora.py
    OMP_NUM_THREADS=1 python tools/golden/pals.py
    OMP_NUM_THREADS=1 python tools/golden/folders.py
    OMP_NUM_THREADS=1 python tools/golden/ejected.py
    OMP_NUM_THREADS=1 python tools/golden/prompt_text.py
    OMP_NUM_THREADS=1 python tools/golden/pooling.py       # after trajectories.py
    OMP_NUM_THREADS=1 python tools/golden/linear_models.py
    OMP_NUM_THREADS=1 python tools/golden/sentences.py
    OMP_NUM_THREADS=1 python tools/golden/config_sweep.py
    OMP_NUM_THREADS=1 python tools/golden/peft_sweep.py
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()

GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
SEED = 20240611
FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert"]
WITH_TOKEN_TYPES = {"bert", "electra", "albert", "albert-groups", "deberta-v2-plain", "deberta-v2-absolute"}
LENGTHS = [12, 7, 9, 3, 10]

SHAPE = dict(
    vocab_size=120,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=40,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def provenance(generator, seed=SEED, **more):
    import adapters
    import peft
    import safetensors

    return {
        "generator": f"tools/golden/{generator}",
        "seed": seed,
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "adapters": adapters.__version__,
            "peft": peft.__version__,
            "safetensors": safetensors.__version__,
        },
        **more,
    }


def tiny_config(family):
    """The configuration of one tiny encoder; sizes are chosen so that no two axes agree by accident."""
    from transformers import AlbertConfig, BertConfig, DistilBertConfig, ElectraConfig, ModernBertConfig, RobertaConfig, XLMRobertaConfig

    if family == "bert":
        return BertConfig(**SHAPE, type_vocab_size=2, layer_norm_eps=1e-12)
    if family == "roberta":
        return RobertaConfig(**SHAPE, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5)
    if family == "xlm-roberta":
        return XLMRobertaConfig(**SHAPE, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5)
    if family == "distilbert":
        return DistilBertConfig(
            vocab_size=120, dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=40,
            dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, qa_dropout=0.0,
        )
    if family == "electra":
        return ElectraConfig(**SHAPE, type_vocab_size=2, embedding_size=24, layer_norm_eps=1e-12)
    if family == "albert":
        return AlbertConfig(**SHAPE, type_vocab_size=2, embedding_size=24, num_hidden_groups=1, inner_group_num=1, classifier_dropout_prob=0.0, layer_norm_eps=1e-12)
    if family == "albert-groups":
        return AlbertConfig(**SHAPE, type_vocab_size=2, embedding_size=24, num_hidden_groups=2, inner_group_num=1, classifier_dropout_prob=0.0, layer_norm_eps=1e-12)
    if family == "mpnet":
        from transformers import MPNetConfig

        # Long enough for the farthest bucket of distances.
        return MPNetConfig(**{**SHAPE, "max_position_embeddings": 202}, layer_norm_eps=1e-5)
    if family.startswith("deberta-v2"):
        from transformers import DebertaV2Config

        shape = dict(SHAPE, layer_norm_eps=1e-7, relative_attention=True, pos_att_type=["p2c", "c2p"], share_att_key=True, position_biased_input=False)
        if family == "deberta-v2":  # as version 3 has it
            return DebertaV2Config(**shape, type_vocab_size=0, position_buckets=16, norm_rel_ebd="layer_norm")
        if family == "deberta-v2-xlarge":  # with the convolution of v2-xlarge
            return DebertaV2Config(**shape, type_vocab_size=0, position_buckets=12, max_relative_positions=30, norm_rel_ebd="layer_norm", conv_kernel_size=3, conv_act="gelu")
        if family == "deberta-v2-plain":  # every switch in its other place
            return DebertaV2Config(**{**shape, "position_biased_input": True, "pos_att_type": "c2p"}, type_vocab_size=2, max_relative_positions=7)
        if family == "deberta-v2-absolute":
            return DebertaV2Config(**SHAPE, type_vocab_size=2)
    modern = dict(
        vocab_size=120, hidden_size=32, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=64,
        pad_token_id=103, bos_token_id=101, cls_token_id=101, eos_token_id=102, sep_token_id=102, reference_compile=False,
    )
    if family == "modernbert":
        return ModernBertConfig(**modern, local_attention=8)
    if family == "modernbert-biases":
        return ModernBertConfig(
            **modern, local_attention=7, global_attn_every_n_layers=2, local_rope_theta=50.0, global_rope_theta=1000.0, hidden_activation="silu",
            norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, classifier_activation="relu", norm_eps=1e-6,
        )
    raise ValueError(family)


def special_ids(family):
    """(start, end, padding) ids, as in the family's real vocabularies."""
    if family in ("roberta", "xlm-roberta", "mpnet"):
        return 0, 2, 1
    return 101, 102, 103 if family.startswith("modernbert") else 0


def randomise(module, seed, weight_std=0.25, bias_std=0.2):
    """Fills every parameter from a seeded generator: no zero bias, no unit gain, lively activations."""
    generator = torch.Generator().manual_seed(seed)
    norms = {id(p) for m in module.modules() if isinstance(m, torch.nn.LayerNorm) for p in [m.weight]}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            if id(parameter) in norms:
                parameter.copy_(1 + 0.3 * noise)
            elif name.endswith("scaling"):
                parameter.copy_(1.3 + 0.4 * noise)
            elif name.endswith("control_trans"):
                parameter.copy_(0.8 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(bias_std * noise)
            else:
                parameter.copy_(weight_std * noise)
    return module


def make_batch(family, lengths=LENGTHS, seed=SEED, token_types=True):
    """Right-padded rows: start id, random ids, end id; token types flip in the middle where the family has them."""
    generator = torch.Generator().manual_seed(seed)
    start, end, pad = special_ids(family)
    width = max(lengths)
    ids = torch.full((len(lengths), width), pad, dtype=torch.long)
    mask = torch.zeros((len(lengths), width), dtype=torch.long)
    types = torch.zeros((len(lengths), width), dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(5, 100, (length,), generator=generator)
        ids[row, 0] = start
        ids[row, length - 1] = end
        mask[row, :length] = 1
        types[row, length // 2 : length] = 1
    batch = {"input_ids": ids, "attention_mask": mask}
    if token_types and family in WITH_TOKEN_TYPES:
        batch["token_type_ids"] = types
    return batch


def load_encoder(family, adapter_model=False):
    """The tiny encoder of test/golden/encoders/<family>, bare or as the `adapters` model with flexible heads."""
    path = GOLDEN / "encoders" / family
    if adapter_model:
        import adapters

        cls = {
            "bert": adapters.BertAdapterModel,
            "roberta": adapters.RobertaAdapterModel,
            "xlm-roberta": adapters.XLMRobertaAdapterModel,
            "distilbert": adapters.DistilBertAdapterModel,
            "electra": adapters.ElectraAdapterModel,
            "albert": adapters.AlbertAdapterModel,
            "albert-groups": adapters.AlbertAdapterModel,
            "deberta-v2": adapters.DebertaV2AdapterModel,
            "deberta-v2-xlarge": adapters.DebertaV2AdapterModel,
        }[family]
    else:
        cls = transformers.AutoModel
    model = cls.from_pretrained(str(path), attn_implementation="eager")
    # The saved files name the base model: never a machine path.
    model.config._name_or_path = f"multigraft-tiny-{family}"
    model.name_or_path = f"multigraft-tiny-{family}"
    return model.eval()


def batch_json(batch):
    names = {"input_ids": "inputIds", "attention_mask": "attentionMask", "token_type_ids": "tokenTypeIds"}
    return {names.get(key, key): value.tolist() for key, value in batch.items()}


def number(value):
    if isinstance(value, bool) or isinstance(value, int):
        return value
    return float(f"{float(value):.9g}") if math.isfinite(value) else str(value)


def numbers(value):
    """Tensors and nested lists to nested lists of floats with nine significant digits (float32 round-trips)."""
    if torch.is_tensor(value):
        value = value.detach().tolist()
    if isinstance(value, (list, tuple)):
        return [numbers(v) for v in value]
    return number(value)


def digest(hidden):
    """What is kept of a hidden state (rows, tokens, width): first token in full, sums of every token."""
    return {
        "firstToken": numbers(hidden[:, 0]),
        "tokenSums": numbers(hidden.sum(-1)),
        "tokenAbsSums": numbers(hidden.abs().sum(-1)),
    }


def relative(a, b):
    """Largest difference over largest value: the error measure of all golden tests."""
    a, b = a.detach().double(), b.detach().double()
    return number(float((a - b).abs().max() / b.abs().max()))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(value) + "\n", encoding="utf-8")


def render(value, indent=""):
    """JSON with objects over several lines and arrays of numbers on one, so that files stay small and diffs readable."""
    if isinstance(value, dict) and value:
        inner = indent + " "
        rows = [f"{inner}{json.dumps(str(k))}: {render(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + render(v, inner) for v in value) + "\n" + indent + "]"
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
