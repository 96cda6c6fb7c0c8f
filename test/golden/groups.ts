import { readdirSync } from 'node:fs';
import { type Batch, readCases } from './forward.ts';

/** What tools/golden/methods.py wrote of one adapter. */
export interface Variant {
  readonly folder: string;
  readonly encoder: string;
  readonly hash: string;
  readonly keys: Record<string, number[]>;
  readonly trainable: number;
  readonly logits: number[][];
  readonly logits64: number[][];
  readonly configChanges?: Record<string, unknown>;
  /** Full names of tensors that do not train. */
  readonly frozen?: readonly string[];
  /** First values that are no random numbers, by full name. */
  readonly initial?: Readonly<Record<string, readonly number[]>>;
}

interface Expected {
  readonly variants: number;
  readonly folders: number;
  readonly encoders: number;
  /** Variants for the reference engine, which is slow: one for each kind of module. */
  readonly reference: readonly string[];
}

/** The groups of test/golden/methods, each a file: what they hold. Trajectories in a folder of the same name belong to it. */
const EXPECTED: Readonly<Record<string, Expected>> = {
  methods: {
    variants: 93,
    folders: 73,
    encoders: 7,
    reference: [
      'seq_bn',
      'bn-ln-before-after',
      'bn-use-gating',
      'par-scaling-channel',
      'double_seq_bn-albert-groups',
      'lora-all',
      'lora-use-gating',
    ],
  },
  'ia3-dora': {
    variants: 28,
    folders: 28,
    encoders: 7,
    reference: ['ia3', 'ia3-use-gating', 'dora-all', 'dora-use-gating'],
  },
  invertible: {
    variants: 12,
    folders: 12,
    encoders: 7,
    reference: ['seq_bn_inv', 'seq_bn_inv-albert'],
  },
  prefix: {
    variants: 22,
    folders: 22,
    encoders: 7,
    reference: ['prefix_tuning', 'prefix_tuning_flat', 'prefix-use-gating-two'],
  },
  prompt: {
    variants: 6,
    folders: 6,
    encoders: 5,
    reference: ['prompt_tuning', 'prompt-after-bos'],
  },
  union: {
    variants: 15,
    folders: 15,
    encoders: 4,
    reference: ['mam', 'unipelt'],
  },
  vera: {
    variants: 9,
    folders: 9,
    encoders: 4,
    reference: ['vera', 'vera-use-gating', 'dvora'],
  },
};

export interface Group extends Expected {
  readonly name: string;
  readonly batches: Readonly<Record<string, Batch>>;
  readonly cases: Readonly<Record<string, Variant>>;
}

const FOLDER = 'test/golden/methods';
/** Facts about presets, in the same folder. */
const NO_GROUP = 'configs.json';

/** All that lie in the folder. */
export const GROUPS: readonly Group[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json') && file !== NO_GROUP)
  .map((file) => {
    const name = file.slice(0, -'.json'.length);
    const { batches, variants } = readCases<{ batches: Record<string, Batch>; variants: Record<string, Variant> }>(`methods/${file}`);
    return { name, ...(EXPECTED[name] as Expected), batches, cases: variants };
  });

export const GROUP_NAMES = Object.keys(EXPECTED);
