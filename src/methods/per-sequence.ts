import { z } from 'zod';
import type { LinearSite, Rows } from '../encoders/index.ts';
import {
  add,
  div,
  expand,
  gemm,
  mul,
  multiplyDims,
  reduceMean,
  reduceSum,
  relu,
  reshape,
  scalar,
  sigmoid,
  sub,
  type Value,
} from '../graph/index.ts';
import { type Dropout, type Initializer, NORMAL, type ParameterSpec } from '../nn/index.ts';
import type { MethodContext } from './context.ts';

/** The keys of methods with gates. Python has no `gate_over_pads`, and keeps what it does not know. */
export const gateFields = {
  use_gating: z.boolean().default(false),
  /** True averages over padded places too, as Python does; left out where nothing was said. */
  gate_over_pads: z.boolean().optional(),
};

export interface GateConfig {
  readonly use_gating: boolean;
  readonly gate_over_pads?: boolean | undefined;
}

/** What stands in a folder's notes of an adapter with gates: Python's average is another one. */
export function gateNotes({ use_gating, gate_over_pads }: GateConfig): readonly string[] {
  if (!use_gating || gate_over_pads !== undefined) return [];
  return ["Its gates average over a row's own tokens; Python's average over padding too, which 'gate_over_pads: true' replays."];
}

/** First values of a gate, which Python makes in two ways. */
interface GateStart {
  readonly weight: Initializer;
  readonly bias: Initializer;
}

/** A linear as PyTorch makes it, [1, width]. */
export function linearStart(width: number): GateStart {
  const init = { kind: 'fan-in-uniform', fanIn: width } as const;
  return { weight: init, bias: init };
}

/** A gate under `path` that reads [rows, width]. */
export function gateParameters(path: string, width: number, start: GateStart = { ...linearStart(width), weight: NORMAL }): ParameterSpec[] {
  return [
    { name: `${path}.gate.weight`, shape: [1, width], init: start.weight, decay: true },
    { name: `${path}.gate.bias`, shape: [1], init: start.bias, decay: false },
  ];
}

/**
 * UniPELT's gate (Mao et al. 2022, section 3.3): x [batch·length, d] of all tokens → [batch, 1, 1], the mean over a sequence's own
 * tokens of σ(w·x + b), with w [1, d] and b [1]; over pads too with `gate_over_pads`. It is observed under `place`, one for a layer.
 */
export function sequenceGate(
  x: Value,
  [weight, bias]: readonly [Value, Value],
  config: GateConfig,
  { batch, length }: Rows,
  { own, layer }: Pick<LinearSite, 'own' | 'layer'>,
  { observe, name }: MethodContext,
  place: string,
): Value {
  const scores = reshape(sigmoid(gemm(x, weight, bias, { transB: true })), [batch, length]);
  const gate = config.gate_over_pads || own === undefined ? reshape(reduceMean(scores, [1]), [batch, 1]) : meanOver(scores, own);
  observe?.(`${GATE_OF}${name}/${layer === undefined ? '' : `${layer}.`}${place}`, gate, ['gate']);
  return reshape(gate, [batch, 1, 1]);
}

/** Before the name of an adapter in those of its gates as they are observed; no name of a fusion has spaces. */
export const GATE_OF = 'gate of ';

/** The mean of x [batch, length] where `own` [batch, length] is 1: [batch, 1]; 0 where it is 1 nowhere. */
function meanOver(x: Value, own: Value): Value {
  const count = reduceSum(own, [1]);
  const some = add(relu(sub(count, scalar(1))), scalar(1));
  return reshape(div(reduceSum(mul(x, own), [1]), some), [x.shape[0] as number, 1]);
}

/** u [batch·length, d] times one factor [batch, 1, 1] per sequence. */
export function perSequence(u: Value, factor: Value, { batch, length }: Rows): Value {
  const d = u.shape.at(-1) as number;
  return reshape(mul(reshape(u, [batch, length, d]), factor), [multiplyDims(batch, length), d]);
}

/** Stochastic depth (Huang et al. 2016): [batch·length, 1], 0 for the tokens of dropped sequences and 1/(1−p) for the others. */
export function keptRows(p: number, { batch, length }: Rows, dropout: Dropout, where: string): Value {
  const kept = dropout(expand(scalar(1), [batch, 1]), p, where);
  return reshape(expand(reshape(kept, [batch, 1, 1]), [batch, length, 1]), [multiplyDims(batch, length), 1]);
}
