import { asFloat32, fail, float32, type Tensor } from '../base/index.ts';
import { type LinearName, linearPlace } from '../encoders/index.ts';
import type { EncoderFacts } from './context.ts';
import { everyLinear } from './linears.ts';
import type { PeftFolder } from './peft-layout.ts';

/** A low-rank update of one linear as PEFT keeps it. */
export interface Update {
  /** Undefined outside of the layers. */
  readonly module: number | undefined;
  readonly linear: LinearName;
  /** PEFT's name of the linear, to which its patterns apply. */
  readonly path: string;
  readonly a: Tensor;
  readonly b: Tensor;
}

/**
 * Pairs of A and B by the linear they sit on, and all other tensors by their names without PEFT's prefix.
 * @throws adapter.format, adapter.mismatch
 */
export function pairsOf(
  { tensors, weights, model }: PeftFolder,
  { encoder, family }: EncoderFacts,
): { updates: Update[]; rest: Map<string, Tensor> } {
  const { prefix } = family;
  // One layer more than there is shows an adapter of a deeper encoder.
  const deeper = { family, encoder: { ...encoder, groups: encoder.groups + 1 } };
  const whole = everyLinear(deeper).filter(({ linear }) => linearPlace(family, linear).partOf === undefined);
  const sites = new Map(whole.map(({ linear, module, path }) => [path.slice(prefix.length), { linear, module }]));
  const halves = new Map<string, { a?: Tensor; b?: Tensor }>();
  const rest = new Map<string, Tensor>();
  for (const [key, value] of tensors) {
    const [, module, half] = /^(.*)\.lora_([AB])(?:\.default)?\.weight$/.exec(key) ?? [];
    if (module === undefined) {
      if (/\.lora_|\.base_layer\./.test(key))
        fail({
          code: 'adapter.format',
          subject: `${weights}: ${key}`,
          found: 'a part that a plain LoRA does not have',
          expected: 'lora_A.weight and lora_B.weight',
        });
      rest.set(key, value);
      continue;
    }
    if (value.shape.length !== 2)
      fail({ code: 'adapter.format', subject: `${weights}: ${key}`, found: `[${value.shape}]`, expected: 'two dimensions' });
    halves.set(module, { ...halves.get(module), [half === 'A' ? 'a' : 'b']: value });
  }
  const updates = [...halves].map(([key, { a, b }]): Update => {
    const site = sites.get(key) ?? sites.get(key.startsWith(prefix) ? key.slice(prefix.length) : '');
    const linear = key.split('.').at(-1) as string;
    if (!site)
      return fail({
        code: 'adapter.format',
        subject: `${weights}: ${key}`,
        found: `an update of '${linear}'`,
        expected: `a linear of the encoder ${model}`,
        next: 'Linears of heads are not adapted: in Python, train the head whole (modules_to_save).',
      });
    if (site.module !== undefined && site.module >= encoder.groups)
      return fail({
        code: 'adapter.mismatch',
        subject: weights,
        found: `an update in layer ${site.module}`,
        expected: `layers 0 to ${encoder.groups - 1} of ${model}`,
        next: 'Load the encoder it was made for.',
      });
    if (!a || !b)
      return fail({ code: 'adapter.format', subject: `${weights}: ${key}`, found: `only lora_${a ? 'A' : 'B'}`, expected: 'both halves' });
    checkShapes(a, b, site.linear, { encoder, family }, { model, subject: `${weights}: ${key}` });
    return { ...site, path: key, a: floats(a, key), b: floats(b, key) };
  });
  const twice = updates.find((update) =>
    updates.some((other) => other !== update && other.module === update.module && other.linear === update.linear),
  );
  if (twice) fail({ code: 'adapter.format', subject: `${weights}: ${twice.path}`, found: 'two updates of one linear', expected: 'one' });
  return { updates, rest };
}

/** PEFT's config does not say for which sizes it is: the matrices do. */
function checkShapes(
  a: Tensor,
  b: Tensor,
  linear: LinearName,
  { encoder, family }: EncoderFacts,
  { model, subject }: { readonly model: string; readonly subject: string },
): void {
  const place = linearPlace(family, linear);
  const [fanIn, out] = [place.fanIn(encoder), place.out(encoder)];
  const found = `A [${a.shape}] and B [${b.shape}]`;
  if (a.shape[1] !== fanIn || b.shape[0] !== out)
    fail({
      code: 'adapter.mismatch',
      subject,
      found,
      expected: `A [r,${fanIn}] and B [${out},r], as ${model} has it`,
      next: 'Load the encoder it was made for.',
    });
  const rank = a.shape[0] as number;
  // Lower ranks elsewhere are filled up to the highest: without a bound a small file could ask for any amount of memory.
  if (rank !== b.shape[1] || rank < 1 || rank > Math.max(fanIn, out))
    fail({ code: 'adapter.format', subject, found, expected: `one rank from 1 to ${Math.max(fanIn, out)}` });
}

function floats(value: Tensor, subject: string): Tensor {
  return float32(value.shape, asFloat32(value, subject));
}
