"""Golden values for src/metrics from scikit-learn, SciPy, seqeval and transformers' SQuAD functions.

Run in an environment with those libraries: python tools/golden/metrics.py > test/golden/metrics.json
"""
import json
import math
import platform
import sys
import warnings

import numpy
import scipy
import sklearn
import transformers
from importlib.metadata import version
from scipy.stats import pearsonr, rankdata, spearmanr
from seqeval.metrics import f1_score as span_f1, precision_score as span_precision, recall_score as span_recall
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from sklearn.preprocessing import MultiLabelBinarizer
from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

SEED = 20240613
rng = numpy.random.default_rng(SEED)
cases = []


def add(metric, name, predictions, references, compute, undefined=False, **extra):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = float(compute())
    undefined = undefined or math.isnan(value) or any("ill-defined" in str(w.message) or "single label" in str(w.message) for w in caught)
    cases.append({"metric": metric, "name": name, "predictions": predictions, "references": references, **extra,
                  "value": None if math.isnan(value) else value, "undefined": undefined})


def classification(name, predictions, references, positive="b"):
    t, p = references, predictions
    add("accuracy", name, p, t, lambda: accuracy_score(t, p))
    if len(set(t) | set(p)) <= 2 and positive in ("a", "b"):
        add("f1", name, p, t, lambda: f1_score([x == positive for x in t], [x == positive for x in p]), positive=positive)
    add("f1_macro", name, p, t, lambda: f1_score(t, p, average="macro"))
    add("f1_micro", name, p, t, lambda: f1_score(t, p, average="micro"))
    # scikit-learn gives 0 here without a warning although the formula is 0 / 0.
    add("matthews", name, p, t, lambda: matthews_corrcoef(t, p), undefined=len(set(p)) == 1 or len(set(t)) == 1)


def draw(letters, n, weights=None):
    return [str(x) for x in rng.choice(list(letters), n, p=weights)]


classification("all right", list("abab"), list("abab"))
classification("all wrong", list("abab"), list("baba"))
classification("one class, right", list("aaaa"), list("aaaa"))
classification("one class predicted", list("aaaa"), list("aabb"))
classification("one class true", list("abab"), list("bbbb"))
classification("one row", list("a"), list("b"))
classification("positive never seen", list("aaa"), list("aaa"), "b")
classification("random two", draw("ab", 200), draw("ab", 200))
classification("skewed two", draw("ab", 300, [0.95, 0.05]), draw("ab", 300, [0.97, 0.03]))
classification("random five", draw("abcde", 200), draw("abcde", 200))
classification("class only predicted", list("abca"), list("abab"))
classification("class only true", list("abab"), list("abca"))
truth = draw("abcdef", 400)
classification("mostly right six", [t if rng.random() < 0.8 else draw("abcdef", 1)[0] for t in truth], truth)


def multilabel(name, predictions, references, labels):
    encoder = MultiLabelBinarizer(classes=labels).fit([labels])
    t, p = encoder.transform(references), encoder.transform(predictions)
    add("multilabel_accuracy", name, predictions, references, lambda: accuracy_score(t, p))
    add("multilabel_f1_macro", name, predictions, references, lambda: f1_score(t, p, average="macro"), labels=labels)
    add("multilabel_f1_micro", name, predictions, references, lambda: f1_score(t, p, average="micro"), labels=labels)


multilabel("order does not matter", [["a", "b"], ["c"]], [["b", "a"], ["c"]], list("abc"))
multilabel("empty class", [["a"], []], [["a"], ["b"]], list("abc"))
multilabel("nothing at all", [[], []], [[], []], list("ab"))
random_sets = lambda: [[x for x in "abcd" if rng.random() < 0.4] for _ in range(60)]
multilabel("random", random_sets(), random_sets(), list("abcd"))


def correlation(name, predictions, references):
    p, t = [float(x) for x in predictions], [float(x) for x in references]
    add("pearson", name, p, t, lambda: pearsonr(p, t).statistic)
    add("spearman", name, p, t, lambda: spearmanr(p, t).statistic)


correlation("line", [1, 2, 3, 4], [2, 4, 6, 8])
correlation("reversed line", [4, 3, 2, 1], [2, 4, 6, 8])
correlation("two rows", [1, 2], [5, 3])
correlation("ties", [1, 2, 2, 3, 3, 3], [1, 1, 2, 2, 3, 3])
correlation("all but one tied", [1, 1, 1, 1, 2], [5, 4, 3, 2, 1])
correlation("constant predictions", [1, 1, 1], [1, 2, 3])
correlation("constant references", [1, 2, 3], [0, 0, 0])
correlation("huge", [1e300, 2e300, 3e300, -1e300], [1, 2, 4, 8])
correlation("tiny", [1e-200, 2e-200, 5e-200], [1, 2, 3])
correlation("far from zero", [1e9 + 1, 1e9 + 2, 1e9 + 4, 1e9 + 3], [1, 2, 3, 4])
correlation("uncorrelated", [1, 2, 3, 4, 5, 6], [1, -1, 1, 1, -1, 1])
correlation("random", rng.normal(size=200).tolist(), rng.normal(size=200).tolist())
base = rng.normal(size=300)
correlation("noisy halves", numpy.round((base + rng.normal(size=300)) * 2).tolist(), (numpy.round(base * 2) / 2).tolist())
for name, values in {"no ties": [3, 1, 2], "ties": [2, 2, 1, 5, 5, 5, 4], "all equal": [7, 7, 7]}.items():
    cases.append({"metric": "ranks", "name": name, "values": values, "value": rankdata(values).tolist()})


def spans(name, predictions, references):
    for metric, function in (("span_f1", span_f1), ("span_precision", span_precision), ("span_recall", span_recall)):
        add(metric, name, predictions, references, lambda: function(references, predictions))


s = lambda text: [line.split() for line in text.split("/")]
spans("all right", s("B-X I-X O / B-Y"), s("B-X I-X O / B-Y"))
spans("all wrong", s("B-X O O"), s("O B-X O"))
spans("nothing anywhere", s("O O"), s("O O"))
spans("nothing predicted", s("O O"), s("B-X O"))
spans("nothing true", s("B-X O"), s("O O"))
spans("boundary too short", s("B-X O O"), s("B-X I-X O"))
spans("wrong type", s("B-Y I-Y O"), s("B-X I-X O"))
spans("I opens after O", s("O I-X I-X O"), s("O B-X I-X O"))
spans("IOB1 neighbours", s("I-X I-X B-X I-X"), s("B-X I-X B-X I-X"))
spans("type changes inside", s("B-X I-Y I-Y"), s("B-X B-Y I-Y"))
spans("I of another type", s("B-X I-Y O"), s("B-X I-X O"))
spans("IOBES", s("B-X I-X E-X O S-Y S-Y"), s("B-X I-X E-X O S-Y S-Y"))
spans("E without B", s("E-X E-X O I-X"), s("S-X S-X O S-X"))
spans("E then I", s("B-X E-X I-X O"), s("B-X I-X S-X O"))
spans("S then I", s("S-X I-X O"), s("S-X B-X O"))
spans("type with a dash", s("B-a-b I-a-b O B-a"), s("B-a-b I-a-b O B-a-b"))
spans("no type", s("B I O B"), s("B I O I"))
spans("not a scheme", s("NOUN VERB NOUN / DET NOUN"), s("NOUN NOUN NOUN / DET VERB"))
spans("one-letter tags", s("X X O X / X O"), s("X O O X / X O"))
spans("across sentences", s("O B-X / I-X O"), s("O B-X / B-X O"))
tags = ["O", "B-X", "I-X", "B-Y", "I-Y", "E-X", "S-Y"]
random_tags = lambda: [[str(x) for x in rng.choice(tags, 7)] for _ in range(40)]
spans("random", random_tags(), random_tags())
truth = random_tags()
spans("random, mostly right", [[t if rng.random() < 0.8 else str(rng.choice(tags)) for t in row] for row in truth], truth)


def squad(name, prediction, answers):
    add("exact_match", name, [prediction], [answers], lambda: max(compute_exact(a, prediction) for a in answers))
    add("squad_f1", name, [prediction], [answers], lambda: max(compute_f1(a, prediction) for a in answers))


squad("same", "the red door", ["the red door"])
squad("article and case", "The Red door.", ["a red door"])
squad("punctuation joins", "twenty-one", ["twentyone"])
squad("half", "old red door", ["red door of oak"])
squad("repeated words", "red red red", ["red red"])
squad("nothing shared", "blue", ["red"])
squad("several answers", "in 1871", ["1872", "the year 1871", "1871"])
squad("article inside a word", "theatre anthem", ["theatre an anthem"])
squad("letters beyond ASCII", "Ünter é the Straße", ["ünter é straße"])
squad("article beside a letter beyond ASCII", "éa na", ["é na"])
squad("spaces", "  a \t lamp\u00a0post ", ["lamp post"])

json.dump({
    "generator": "tools/golden/metrics.py",
    "seed": SEED,
    "versions": {"python": platform.python_version(), "numpy": numpy.__version__, "scikit-learn": sklearn.__version__,
                 "scipy": scipy.__version__, "seqeval": version("seqeval"), "transformers": transformers.__version__},
    "cases": cases,
}, sys.stdout)
print()
