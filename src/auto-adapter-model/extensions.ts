import { type EncoderFamily, FAMILIES } from '../encoders/index.ts';
import { BLOCKS, type BlockKind, METHODS, type Method } from '../methods/index.ts';
import { HEAD_KINDS, type HeadKind } from '../objectives/index.ts';

/** What takes part beside the package's own: objects of the same kinds, from anywhere. */
export interface Extensions {
  readonly families?: readonly EncoderFamily[];
  readonly methods?: readonly Method[];
  readonly blocks?: readonly BlockKind[];
  readonly heads?: readonly HeadKind[];
}

/** All there are, the package's own first. */
export type Kinds = Required<Extensions>;

export function kindsWith({ families = [], methods = [], blocks = [], heads = [] }: Extensions): Kinds {
  return {
    families: [...FAMILIES, ...families],
    methods: [...METHODS, ...methods],
    blocks: [...BLOCKS, ...blocks],
    heads: [...HEAD_KINDS, ...heads],
  };
}
