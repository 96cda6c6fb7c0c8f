import { noDropout, type Parameters, parameters } from '../nn/index.ts';
import type { EncoderConfig } from './config.ts';
import { drawEncoder } from './draw.ts';
import type { EncoderFamily } from './family.ts';

/** A layer norm of an encoder. */
export interface EncoderNorm {
  /** Full name, without `.weight`. */
  readonly path: string;
  readonly width: number;
  /** Whether it has a bias. */
  readonly bias: boolean;
}

/** All layer norms of an encoder, each once, in the order of the computation: found by drawing it, so that there is one truth. */
export function encoderNorms(family: EncoderFamily, config: EncoderConfig): readonly EncoderNorm[] {
  const widths = new Map<string, number>();
  const names = new Set<string>();
  const resolve = parameters(() => false);
  const record: Parameters = (name, shape) => {
    names.add(name);
    return resolve(name, shape);
  };
  drawEncoder({
    family,
    config,
    parameters: record,
    dropout: noDropout,
    read: 'all',
    hooks: {
      norm({ path, x, y }) {
        widths.set(path, x.shape.at(-1) as number);
        return y;
      },
    },
  });
  return [...widths].map(([path, width]) => ({ path, width, bias: names.has(`${path}.bias`) }));
}
