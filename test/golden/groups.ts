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
  /** Every row alone. */
  readonly logitsUnpadded: number[][];
  readonly configChanges?: Record<string, unknown>;
  /** Full names of tensors that do not train. */
  readonly frozen?: readonly string[];
  /** First values that are no random numbers, by full name. */
  readonly initial?: Readonly<Record<string, readonly number[]>>;
}

export interface Group {
  readonly name: string;
  /** Variants for the reference engine, which is slow: one for each kind of module. */
  readonly reference: readonly string[];
  readonly batches: Readonly<Record<string, Batch>>;
  readonly cases: Readonly<Record<string, Variant>>;
}

const FOLDER = 'test/golden/methods';
/** Facts about presets, in the same folder. */
const NO_GROUP = 'configs.json';

/** All that lie in the folder. Trajectories in a folder of the same name belong to the group. */
export const GROUPS: readonly Group[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.json') && file !== NO_GROUP)
  .map((file) => {
    const { reference, batches, variants } = readCases<{
      reference: string[];
      batches: Record<string, Batch>;
      variants: Record<string, Variant>;
    }>(`methods/${file}`);
    return { name: file.slice(0, -'.json'.length), reference, batches, cases: variants };
  });
