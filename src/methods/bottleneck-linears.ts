import { fail } from '../base/index.ts';
import { type Initializer, type LinearParameters, NORMAL, type ParameterSpec, ZERO } from '../nn/index.ts';
import type { BottleneckConfig } from './bottleneck-config.ts';
import type { MethodContext } from './context.ts';
import type { ReadParameter } from './method.ts';

/** One of the two linears of a module, from `fanIn` numbers to `out`; `path` is its full name. */
export interface BottleneckLinear {
  readonly path: string;
  readonly position: 'down' | 'up';
  readonly fanIn: number;
  readonly out: number;
}

/** What the linears of modules are made of: parameters, and weight [out, in] and bias [out] as values of these. */
export interface LinearForm<C extends BottleneckConfig = BottleneckConfig> {
  parameters(linear: BottleneckLinear, config: C, context: MethodContext): readonly ParameterSpec[];
  values(linear: BottleneckLinear, config: C, context: MethodContext, read: ReadParameter): LinearParameters;
}

/** A weight and a bias. */
export const PLAIN_LINEARS: LinearForm = {
  parameters: ({ path, position, fanIn, out }, { init_weights: kind }) => [
    { name: `${path}.weight`, shape: [out, fanIn], init: initializer(kind, position, fanIn), decay: true },
    { name: `${path}.bias`, shape: [out], init: ZERO, decay: false },
  ],
  values: ({ path }, _config, _context, read) => ({ weight: read(`${path}.weight`), bias: read(`${path}.bias`) }),
};

/** The linears of the module `path`. */
export function linearsAt(
  config: BottleneckConfig,
  { encoder }: MethodContext,
  path: string,
  module: number,
): Readonly<Record<BottleneckLinear['position'], BottleneckLinear>> {
  const d = encoder.hidden;
  const r = bottleneckWidth(config, d, module);
  return {
    down: { path: `${path}.adapter_down.${config.ln_before ? 1 : 0}`, position: 'down', fanIn: d, out: r },
    up: { path: `${path}.adapter_up`, position: 'up', fanIn: r, out: d },
  };
}

/** r = ⌊d / factor⌋, at least 1, of the exact quotient: 0.8 is a little more than 4/5, so 32 / 0.8 gives 39. */
export function bottleneckWidth({ reduction_factor: factor }: BottleneckConfig, hidden: number, module: number): number {
  const divisor = typeof factor === 'number' ? factor : (factor[String(module)] ?? factor.default);
  if (divisor === undefined)
    return fail({
      code: 'method.config',
      subject: 'reduction_factor',
      found: `nothing for layer ${module}`,
      expected: `an entry '${module}' or 'default'`,
    });
  return Math.max(1, Math.round((hidden - (hidden % divisor)) / divisor));
}

function initializer(kind: BottleneckConfig['init_weights'], position: BottleneckLinear['position'], fanIn: number): Initializer {
  if (kind === 'mam_adapter') return position === 'down' ? { kind: 'fan-in-uniform', fanIn } : ZERO;
  return kind === 'houlsby' ? { kind: 'truncated-normal', deviation: 0.01, limit: 0.02 } : NORMAL;
}
