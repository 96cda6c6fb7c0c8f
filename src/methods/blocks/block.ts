import type { Tensor } from '../../base/index.ts';
import type { SiteName, Sites } from '../../encoders/index.ts';
import type { Json } from '../../formats/json.ts';
import type { Dim, Value } from '../../graph/index.ts';
import type { Dropout, ParameterSpec } from '../../nn/index.ts';
import type { Act } from '../act.ts';
import type { Adapter } from '../adapter.ts';
import type { Sequence, Shares } from '../attachment.ts';
import type { Block, Composition } from '../composition.ts';
import type { EncoderFacts, Observe } from '../context.ts';
import type { FusionConfig } from '../fusion.ts';
import type { ReadParameter } from '../method.ts';

/** A way to put adapters together. It combines what they do at a site and never asks which methods they are. */
export interface BlockKind<B extends Block = Block> {
  readonly type: B['type'];
  /** The name of Python's class, as adapter_setup.json has it. */
  readonly python: string;
  /** Kinds of blocks that may stand directly in it, beside names. */
  readonly inside: readonly string[];
  /** Sites at which it can put adapters together. */
  readonly sites: readonly SiteName[];
  /**
   * Whether its children act on different rows or tokens. None may then act at the embeddings or the word table, where the first
   * adapter's acts are for all.
   */
  readonly apart?: boolean;
  /** What of a batch reaches a child, where that is not all that reaches the block, the composition's `index`th. */
  extent?(block: B, child: number, outer: Extent, index: number): Extent;
  /**
   * How Python names a head for each of its children, where it stands last and each answers rows of its own: as a block of its kind, or
   * as a list. Left out where one head answers.
   */
  readonly heads?: 'block' | 'list';
  /** What whoever loads a setup with it should know: where Python computes something else. */
  readonly note?: string;
  /** @throws method.config, adapter.missing */
  bind(block: B, setting: BlockSetting): BoundBlock;
  /** What Python's class is given beside the children; undefined for nothing. */
  write(block: B): { readonly [key: string]: Json } | undefined;
  /** @throws adapter.format by `wrong` for other keys or values */
  read(children: readonly Composition[], kwargs: { readonly [key: string]: Json }, wrong: Wrong): B;
}

export type Wrong = (found: Json | undefined, expected: string) => never;

/** The part of a batch that reaches a block. */
export interface Extent {
  /** How many sequences. */
  readonly batch: Dim;
  /** Which rows, from the first up to the second; all where it is left out. */
  readonly rows?: readonly [number, number];
  /** Which tokens of each sequence. */
  readonly tokens?: readonly [number, number];
}

export interface BlockSetting extends EncoderFacts {
  /** Which of the composition's blocks it is, outermost first. */
  readonly index: number;
  readonly extent: Extent;
  readonly adapters: ReadonlyMap<string, Adapter>;
  readonly fusions: ReadonlyMap<string, FusionConfig>;
  /** Whether children of the one fusion can be left out without another program. */
  readonly masked: boolean;
}

/** A block on an encoder. */
export interface BoundBlock {
  /** Parameters of its own. */
  readonly parameters?: readonly ParameterSpec[];
  /** Called once for each program. */
  draw(tools: BlockTools): ActOfBlock;
  /** A scalar whose gradient is added. */
  regularizer?(read: ReadParameter): Value | undefined;
  schedule?(steps: number): Readonly<Record<string, number>>;
  /** How many rows all batches have, where it must be so. */
  readonly rows?: number;
  /** The children's names, where each answers all rows: the batch then stands there once for each. */
  readonly channels?: readonly string[];
  /** How many tokens all sequences are padded to, where it must be so. */
  readonly tokens?: number;
  /** Which child a row is for, where each child has rows of its own. */
  readonly shares?: Shares;
  /** What it reads of a run. @throws usage.value for rows that it has no child for */
  feeds?(sequences: readonly Sequence[]): Readonly<Record<string, Tensor>>;
}

/** What a block does at a site; `child` gives what a child does there, or at a narrower site. */
type ActOfBlock = <Name extends SiteName>(
  name: Name,
  site: Sites[Name],
  child: (child: Composition, site?: Sites[Name]) => Act<Name> | undefined,
) => Act<Name> | undefined;

export interface BlockTools {
  /** Values of the block's own parameters. */
  readonly read: ReadParameter;
  readonly dropout: Dropout;
  readonly observe: Observe;
  /** An input of the program: one value for one name. */
  readonly input: (name: string, shape: readonly number[]) => Value;
}
