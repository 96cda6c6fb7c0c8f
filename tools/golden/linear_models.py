"""Logistic and ridge regression by scikit-learn on random features.

Writes test/golden/linear-models.json.

    python tools/golden/linear_models.py
"""

import numpy
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from common import GOLDEN, SEED, numbers, provenance, write_json

PENALTIES = [1e-4, 0.36, 1.0, 170.0]


def main():
    random = numpy.random.default_rng(SEED)
    out = {"provenance": provenance("linear_models.py", sklearn=sklearn.__version__, numpy=numpy.__version__), "classes": [], "numbers": []}
    for classes, rows, width in [(2, 16, 9), (3, 24, 5), (5, 60, 7)]:
        labels = random.permutation(numpy.arange(rows) % classes)
        # Some classes lie apart, others in each other's place.
        features = random.normal(size=(rows, width)) + 1.5 * random.normal(size=(classes, width))[labels] + 0.7
        solutions = []
        for c in PENALTIES:
            # L-BFGS ends where its steps make no difference: Newton comes nearer.
            model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(features, labels)
            solutions.append({"penalty": c, "weights": numbers(model.coef_.tolist()), "biases": numbers(model.intercept_.tolist())})
        folds = numpy.empty(rows, dtype=int)
        for fold, (_, held) in enumerate(StratifiedKFold(4).split(features, labels)):
            folds[held] = fold
        out["classes"].append({"labels": labels.tolist(), "features": numbers(features.tolist()), "solutions": solutions, "folds": folds.tolist()})
    for rows, width in [(7, 11), (30, 6)]:
        features = random.normal(size=(rows, width)) + 0.4
        targets = features @ random.normal(size=width) + 3 + random.normal(size=rows)
        solutions = []
        for alpha in PENALTIES:
            model = Ridge(alpha=alpha, solver="cholesky").fit(features, targets)
            solutions.append({"penalty": alpha, "weights": numbers([model.coef_.tolist()]), "biases": numbers([float(model.intercept_)])})
        out["numbers"].append({"targets": numbers(targets.tolist()), "features": numbers(features.tolist()), "solutions": solutions})
    write_json(GOLDEN / "linear-models.json", out)


if __name__ == "__main__":
    main()
