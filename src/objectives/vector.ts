import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import type { Pooling } from '../nn/index.ts';
import type { Head, HeadConfig, HeadKind } from './kind.ts';
import { pooled, sequenceVector } from './pooling.ts';
import { textColumns, textUnit } from './text-rows.ts';

interface VectorConfig extends HeadConfig {
  readonly width: number;
}

const untrained = (): never => fail({ code: 'internal.invariant', subject: 'vectors', found: 'training', expected: 'a head' });

const KIND: HeadKind<VectorConfig> = {
  type: 'vector',
  schema: z.custom<VectorConfig>(),
  keys: [],
  task: 'classification',
  unjudged: true,
  labelled: false,
  defaults: () => ({}),
  columns: textColumns,
  usualLength: 128,
  units: (row, tools) => textUnit(row, tools, undefined),
  reads: 'first',
  outputs: ({ width }) => width,
  parameters: () => [],
  draw: sequenceVector,
  loss: untrained,
  targets: untrained,
  answer: (_, __, [unit]) => ({ prediction: '', logits: [...(unit?.logits ?? [])] }),
  questions: () => [],
};

/** What stands in a head's place where the vectors themselves are wanted that heads read: its logits are those, [B, hidden]. It has no file. */
export function vectorHead(pooling: Pooling, normalize: boolean, { hidden }: EncoderConfig): Head {
  return {
    name: 'vector',
    kind: KIND,
    config: pooled({ head_type: KIND.type, label2id: null, width: hidden, normalize }, pooling),
  } as Head;
}
