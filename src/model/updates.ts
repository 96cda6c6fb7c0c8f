import { fail, list, type Tensor } from '../base/index.ts';
import { type Encoder, linearPath } from '../encoders/index.ts';
import { nameOf, type Value } from '../graph/index.ts';
import { bindAdapter, type ConfiguredMethod, encoderFacts, type LowRankUpdate } from '../methods/index.ts';
import { type Matrix, matrix, noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight, Weights } from '../session/session.ts';
import { sitesOf } from './affine.ts';

/** An update of a linear's matrix by scale·up·down. */
export interface ScaledUpdate extends LowRankUpdate {
  readonly scale: number;
  /** The parameters that up and down are, where they are some and not computed of others. */
  readonly names: { readonly down: string | undefined; readonly up: string | undefined };
}

/**
 * The low-rank updates that an adapter is, at each linear, as it opens itself for fusions: LoRA, VeRA and what else is a product there
 * and nothing more.
 * @throws method.config for an adapter that does something else too
 */
export async function lowRankUpdates(
  encoder: Encoder,
  name: string,
  configured: ConfiguredMethod,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<ScaledUpdate[]> {
  const refuse = (found: string): never =>
    fail({
      code: 'method.config',
      subject: `adapter '${name}' (${configured.text})`,
      found,
      expected: 'low-rank updates of linears and nothing else',
      next: 'toLora makes a LoRA of whatever changes linears alone.',
    });
  const resolve = parameters(() => false);
  const adapter = bindAdapter(configured, { ...encoderFacts(encoder), name });
  const shapes = new Map(adapter.parameters.map((spec) => [spec.name, spec.shape]));
  const acts = adapter.acts((key) => resolve(key, shapes.get(key) ?? refuse(`no parameter ${key}`)), noDropout);
  const elsewhere = Object.keys(acts).filter((site) => site !== 'linear');
  if (elsewhere.length > 0) refuse(`what it does at ${list(elsewhere.map((site) => `'${site}'`))}`);
  const engine = referenceEngine();
  const weights: Weights = new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]);
  const updates: ScaledUpdate[] = [];
  for (const site of sitesOf(encoder, resolve).linears) {
    const act = acts.linear?.(site);
    if (!act) continue;
    const path = linearPath(encoder.family, site.name, site.module);
    const part = act.open?.lowRank(undefined, (x) => x);
    if (!part || part.input !== site.x || part.activation || part.downBias || part.upBias || part.keep)
      return refuse(`more than a low-rank update at ${path}`);
    const session = await engine.compile({ outputs: { down: part.down, up: part.up } }, weights);
    const { down, up } = await session.run({});
    updates.push({
      linear: site.name,
      module: site.module,
      path,
      down: asMatrix(down as Tensor),
      up: asMatrix(up as Tensor),
      scale: part.scale ?? 1,
      names: { down: parameterOf(part.down), up: parameterOf(part.up) },
    });
  }
  return updates;

  function parameterOf(value: Value): string | undefined {
    const key = nameOf(value);
    return key !== undefined && shapes.has(key) ? key : undefined;
  }
}

function asMatrix({ shape, data }: Tensor): Matrix {
  const [rows, columns] = shape as [number, number];
  return matrix(rows, columns, Float64Array.from(data as Float64Array));
}
