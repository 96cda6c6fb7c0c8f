import { fail } from '../base/index.ts';
import type { LinearSite } from '../encoders/index.ts';
import { add, constant, div, expand, matmul, max, mul, reduceMean, scalar, type Value } from '../graph/index.ts';
import { applyLinear, type Dropout } from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import { type LowRank, product } from './low-rank.ts';

/**
 * What a method of PEFT does at a linear: y = W x + b + u. After other updates it adds to them, as several active adapters of PEFT do.
 * `lowRank` gives u as a product for fusions; `update` u itself where there is a cheaper way.
 */
export function additiveAct(
  { y }: LinearSite,
  context: MethodContext,
  lowRank: () => LowRank,
  update: () => Value = () => product(lowRank()),
): Act<'linear'> {
  return {
    apply(state) {
      const u = update();
      return state ? add(state, u) : u;
    },
    close: (total) => (total ? add(y, total) : y),
    open: {
      read: (state) => ({ query: y, queryBeforeNorm: y, residual: y, state }),
      lowRank(state) {
        if (state) refuseBefore(context, 'in a fusion, of which only the last contributes');
        return lowRank();
      },
    },
  };
}

/** The same for an update ΔW [out, in] without factors: u = ΔW x, and of one adapter (W + ΔW) x + b where x is what the linear reads. */
export function denseAct(site: LinearSite, context: MethodContext, x: Value, delta: () => Value): Act<'linear'> {
  const { weight, bias, y } = site;
  const act = additiveAct(
    site,
    context,
    () => ({ input: x, down: delta(), up: identity(weight.shape[0] as number) }),
    () => matmul(x, delta(), { transB: true }),
  );
  if (x !== site.x) return act;
  let alone: { readonly change: Value; readonly update: Value } | undefined;
  return {
    ...act,
    apply(state) {
      if (state) return act.apply(state);
      const change = delta();
      alone = { change, update: matmul(x, change, { transB: true }) };
      return alone.update;
    },
    close: (total) => {
      if (!total) return y;
      return total === alone?.update ? applyLinear({ weight: add(weight, alone.change), bias }, x) : add(y, total);
    },
  };
}

/** @throws method.config */
export function refuseBefore({ name }: MethodContext, where: string): never {
  return fail({
    code: 'method.config',
    subject: `adapter '${name}'`,
    found: `another adapter before it ${where}`,
    expected: 'none before it there',
  });
}

/** [1, n]: 1 with probability 1 − p, else 0, drawn anew for each run and not rescaled. Undefined where nothing is dropped. */
export function keptEntries(n: number, p: number, dropout: Dropout, place: string): Value | undefined {
  const all = expand(scalar(1), [1, n]);
  const some = dropout(all, p, place);
  return some === all ? undefined : mul(some, scalar(1 - p));
}

/**
 * What is left of an update while training, as factors [1, out] or [1, 1]: `rank_dropout` drops outputs, `module_dropout` all of them, each
 * for a whole run. Where `scaled` holds the outputs that are left are divided by their share. Undefined without dropout, and in evaluation.
 */
export function keptUpdate(
  { rank_dropout, module_dropout }: { readonly rank_dropout: number; readonly module_dropout: number },
  out: number,
  dropout: Dropout,
  place: string,
  scaled = true,
): Value | undefined {
  const outputs = keptEntries(out, rank_dropout, dropout, `${place}.rank`);
  const all = keptEntries(1, module_dropout, dropout, `${place}.module`);
  const some = outputs && scaled ? overMean(outputs) : outputs;
  return some && all ? mul(some, all) : (some ?? all);
}

/** Divided by its mean; zeros stay zeros, where Python would divide by zero. */
export function overMean(kept: Value): Value {
  const n = kept.shape[1] as number;
  return div(kept, max(reduceMean(kept, [1]), scalar(0.5 / n)));
}

export function identity(n: number): Value {
  return constant({ dtype: 'float32', shape: [n, n], data: Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)) });
}
