import { z } from 'zod';
import { asFloat32, fail, float32, int32, type Tensor } from '../base/index.ts';
import { add, cast, mul, reshape, scalar, scatterRows, slice } from '../graph/index.ts';
import { ZERO } from '../nn/index.ts';
import { denseAct } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, linearFields, linearShape, placedLinears } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import type { PeftLayout } from './peft-layout.ts';
import { peftAtLinears } from './peft-linears.ts';
import { torchPermutation } from './torch-random.ts';

const schema = z.strictObject({
  architecture: z.literal('shira').default('shira'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().positive().default(32),
  mask_type: z.literal('random').default('random'),
  random_seed: z.number().int().nonnegative().nullable().default(null),
  init_weights: z.boolean().default(true),
});

type ShiraConfig = z.infer<typeof schema>;

/** What torch.Generator() has where nobody seeds it. */
const TORCH_SEED = 67280421310721;
/** Beyond it float32 has no place for each number. */
const MOST_PLACES = 2 ** 24;
const INDICES = 'shira_indices';

const LAYOUT = peftAtLinears<ShiraConfig>({
  type: 'SHIRA',
  parts: { shira_weight: 'shira_weight', [INDICES]: INDICES },
  prefix: 'shira_',
  keys: ['r', 'random_seed', 'init_weights', 'mask_type'],
  idle: { fan_in_fan_out: false },
});

/** Which entries change is in the file, so masks of any kind are read. */
const PEFT: PeftLayout<ShiraConfig> = {
  ...LAYOUT,
  read(folder, context) {
    const { mask_type: mask, ...raw } = folder.raw;
    const reading = LAYOUT.read({ ...folder, raw }, context);
    const tensors = new Map(reading.tensors);
    for (const { linear, module, path } of placedLinears(reading.config as ShiraConfig, context)) {
      const key = `${loraPath(context, linear, module)}.${INDICES}`;
      const value = reading.tensors.get(key);
      if (value) tensors.set(key, checkedIndices(value, linearShape(context, linear), `${folder.weights}: ${path}.${INDICES}`));
    }
    const notes =
      mask === undefined || mask === 'random' ? [] : [`The mask '${mask}' is read as it is; a new adapter would have a random one.`];
    return { ...reading, tensors, notes: [...reading.notes, ...notes] };
  },
  write(config, tensors, context) {
    const { fields, ...writing } = LAYOUT.write(config, tensors, context);
    const written = [...writing.tensors].map(([key, value]): [string, Tensor] => [
      key,
      key.endsWith(INDICES) ? int32(value.shape, Int32Array.from(asFloat32(value, key))) : value,
    ]);
    return { fields, tensors: new Map(written) };
  },
};

/**
 * SHiRA (Bhardwaj et al. 2024), as PEFT has it: a few entries of each weight train,
 *
 *   y = (W + ΔW) x + b,    ΔW [out, in] zero but for r·(in + out) entries
 *
 * `shira_indices` [2, n] holds their rows and columns, which do not train, `shira_weight` [n] what is added. The entries are drawn as
 * PEFT draws them from `random_seed`, the same for all linears of one shape.
 */
export const SHIRA: Method<ShiraConfig> = {
  name: 'sparse high-rank adapter',
  summary: 'a few entries of chosen weights, drawn at random',
  paper: 'Bhardwaj et al. 2024',
  architecture: 'shira',
  schema,
  presets: { shira: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: PEFT,
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const { fanIn, out } = linearShape(context, linear);
      const count = countOf(config, context, linear);
      const path = loraPath(context, linear, module);
      const init = config.init_weights ? ZERO : ({ kind: 'normal', deviation: 1 } as const);
      const entries = () => entriesOf(config.random_seed ?? TORCH_SEED, count, fanIn, out);
      return [
        { name: `${path}.shira_weight`, shape: [count], init, decay: true },
        { name: `${path}.${INDICES}`, shape: [2, count], init: { kind: 'derived', reads: [], make: entries }, decay: false, trains: false },
      ];
    }),
  acts: (config, context, read) =>
    actsAtLinears(config, context, (site) => {
      const { x, name, module } = site;
      const { fanIn, out } = linearShape(context, name);
      const path = loraPath(context, name, module);
      return denseAct(site, context, x, () => {
        const indices = read(`${path}.${INDICES}`);
        const count = indices.shape[1] as number;
        const part = (at: number) => reshape(slice(indices, 0, at, at + 1), [count]);
        const places = cast(add(mul(part(0), scalar(fanIn)), part(1)), 'int32');
        return reshape(scatterRows(read(`${path}.shira_weight`), places, [out * fanIn]), [out, fanIn]);
      });
    }),
};

/** As float32. @throws adapter.format for what is no entry of the weight */
function checkedIndices(
  { shape, data }: Tensor,
  { fanIn, out }: { readonly fanIn: number; readonly out: number },
  subject: string,
): Tensor {
  const values = Float32Array.from(data as ArrayLike<number>, Number);
  const half = values.length / 2;
  const wrong = values.findIndex((value, i) => !(Number.isInteger(value) && value >= 0 && value < (i < half ? out : fanIn)));
  if (shape.length !== 2 || shape[0] !== 2 || wrong >= 0)
    fail({
      code: 'adapter.format',
      subject,
      found: `[${shape}], ${values[wrong]} in it`,
      expected: `rows and columns of [${out}, ${fanIn}]`,
    });
  return float32(shape, values);
}

/** How many entries train. @throws method.config for more than there are */
function countOf({ r }: ShiraConfig, context: MethodContext, linear: string): number {
  const { fanIn, out } = linearShape(context, linear);
  const [count, all] = [r * (fanIn + out), fanIn * out];
  const subject = `r at '${linear}' [${out}, ${fanIn}]`;
  if (count > all) fail({ code: 'method.config', subject, found: `${count} entries`, expected: `r·(in + out) of at most ${all}` });
  if (all > MOST_PLACES) fail({ code: 'method.config', subject, found: `${all} entries`, expected: `weights of at most ${MOST_PLACES}` });
  return count;
}

/** Rows and then columns of the entries, in order: [2, count]. */
function entriesOf(seed: number, count: number, fanIn: number, out: number): Float32Array {
  const places = torchPermutation(fanIn * out, count, seed).toSorted();
  return Float32Array.from({ length: 2 * count }, (_, i) => {
    const place = places[i % count] as number;
    return i < count ? Math.floor(place / fanIn) : place % fanIn;
  });
}
