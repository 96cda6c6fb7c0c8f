import { z } from 'zod';
import { fail } from '../base/index.ts';
import { linearPath } from '../encoders/index.ts';
import { concat, constant, matmul, mul, reshape, type Value } from '../graph/index.ts';
import { ZERO } from '../nn/index.ts';
import { denseAct } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, linearFields, linearShape } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import { patternValue, peftAtLinears } from './peft-linears.ts';
import { torchPermutation } from './torch-random.ts';

const schema = z.strictObject({
  architecture: z.literal('fourierft').default('fourierft'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  n_frequency: z.number().int().positive().default(1000),
  scaling: z.number().positive().default(150),
  random_loc_seed: z.number().int().nonnegative().default(777),
  init_weights: z.boolean().default(false),
  n_frequency_pattern: z.record(z.string(), z.number().int().positive()).default({}),
});

type FourierConfig = z.infer<typeof schema>;

/**
 * FourierFT (Gao et al. 2024), as PEFT has it: an update that has few frequencies,
 *
 *   y = W x + b + scaling · Re(F⁻¹(S)) x,    S [out, in] zero but for n entries c
 *
 * F is the discrete Fourier transform in two dimensions. Entry (u, v) is Re F⁻¹'s cos(2πup/out) cos(2πvq/in) − sin(…) sin(…) over out·in, so ΔW
 * is the product of two tables of cosines and sines. Which entries is drawn from `random_loc_seed` as PEFT draws it, which keeps the seed
 * alone; all linears of one shape have the same. c [n] starts as N(0, 1), or with `init_weights` at zero.
 */
export const FOURIERFT: Method<FourierConfig> = {
  name: 'Fourier finetuning',
  summary: 'a few frequencies of an update beside chosen linears, drawn at random',
  paper: 'Gao et al. 2024',
  architecture: 'fourierft',
  schema,
  presets: { fourierft: {} },
  floatKeys: [],
  learningRate: 1e-2,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<FourierConfig>({
    type: 'FOURIERFT',
    parts: { fourierft_spectrum: 'fourierft_spectrum' },
    prefix: 'fourierft_',
    keys: ['n_frequency', 'scaling', 'random_loc_seed', 'init_weights', 'n_frequency_pattern'],
    fixed: { bias: 'none' },
    idle: { fan_in_fan_out: false },
  }),
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const { fanIn, out } = linearShape(context, linear);
      const count = countOf(config, context, linearPath(context.family, linear, module), fanIn * out);
      const init = config.init_weights ? ZERO : ({ kind: 'normal', deviation: 1 } as const);
      return [{ name: `${loraPath(context, linear, module)}.fourierft_spectrum`, shape: [count], init, decay: true }];
    }),
  acts(config, context, read) {
    const known = new Map<string, Tables>();
    const tablesOf = (count: number, fanIn: number, out: number): Tables => {
      const key = `${count} ${fanIn} ${out}`;
      const tables = known.get(key) ?? drawTables(config, count, fanIn, out);
      known.set(key, tables);
      return tables;
    };
    return actsAtLinears(config, context, (site) => {
      const { x, name, module } = site;
      const { fanIn, out } = linearShape(context, name);
      const spectrum = () => read(`${loraPath(context, name, module)}.fourierft_spectrum`);
      return denseAct(site, context, x, () => {
        const entries = spectrum();
        const count = entries.shape[0] as number;
        const { rows, columns } = tablesOf(count, fanIn, out);
        const twice = reshape(concat([entries, entries], 0), [1, 2 * count]);
        return matmul(mul(rows, twice), columns, { alpha: config.scaling / (fanIn * out) });
      });
    });
  },
};

interface Tables {
  /** cos and −sin of 2πup/out for each p and entry: [out, 2n]. */
  readonly rows: Value;
  /** cos and sin of 2πvq/in for each entry and q: [2n, in]. */
  readonly columns: Value;
}

function drawTables({ random_loc_seed: seed }: FourierConfig, count: number, fanIn: number, out: number): Tables {
  const places = torchPermutation(fanIn * out, count, seed);
  const [rows, columns] = [new Float32Array(out * 2 * count), new Float32Array(2 * count * fanIn)];
  places.forEach((place, k) => {
    const [u, v] = [Math.floor(place / fanIn), place % fanIn];
    for (let p = 0; p < out; p++) {
      const angle = (2 * Math.PI * ((u * p) % out)) / out;
      rows[p * 2 * count + k] = Math.cos(angle);
      rows[p * 2 * count + count + k] = -Math.sin(angle);
    }
    for (let q = 0; q < fanIn; q++) {
      const angle = (2 * Math.PI * ((v * q) % fanIn)) / fanIn;
      columns[k * fanIn + q] = Math.cos(angle);
      columns[(count + k) * fanIn + q] = Math.sin(angle);
    }
  });
  return {
    rows: constant({ dtype: 'float32', shape: [out, 2 * count], data: rows }),
    columns: constant({ dtype: 'float32', shape: [2 * count, fanIn], data: columns }),
  };
}

/** How many entries train. @throws method.config for more than there are */
function countOf({ n_frequency, n_frequency_pattern }: FourierConfig, context: MethodContext, path: string, all: number): number {
  const count = patternValue(n_frequency_pattern, path, context) ?? n_frequency;
  if (count > all) fail({ code: 'method.config', subject: `n_frequency at ${path}`, found: String(count), expected: `at most ${all}` });
  return count;
}
