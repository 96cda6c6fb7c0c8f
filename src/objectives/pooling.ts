import { fail } from '../base/index.ts';
import type { Value } from '../graph/index.ts';
import { normalised, type Pooling } from '../nn/index.ts';
import type { Head, HeadConfig, HeadDrawing } from './kind.ts';

/** The vector of a sequence that a head of a configuration reads. */
export function poolingOf({ pooling, use_pooler }: Pick<HeadConfig, 'pooling' | 'use_pooler'>): Pooling {
  return pooling ?? (use_pooler ? 'pooler' : 'first');
}

/** That vector of each sequence [B, hidden], divided by its length where the configuration says so. */
export function sequenceVector({ config }: { readonly config: HeadConfig }, drawing: HeadDrawing): Value {
  const vector = drawing.vector(poolingOf(config));
  return config.normalize ? normalised(vector) : vector;
}

/** Whether a head reads more of a sequence than its first token. */
export function readsTokens({ kind, config }: Head): boolean {
  return kind.reads === 'all' || config.pooling !== undefined;
}

/** The same head, reading another vector of each sequence. @throws usage.value for a head that reads every token by itself */
export function withPooling(head: Head, pooling: Pooling): Head {
  if (!head.kind.pools)
    fail({
      code: 'usage.value',
      subject: '--pooling',
      found: `${pooling}, for the head '${head.name}' of type ${head.kind.type}`,
      expected: 'a head that reads one vector of each sequence',
      next: 'Leave it out: this head reads every token.',
    });
  return { ...head, config: pooled(head.config, pooling) };
}

/** The same configuration, reading another vector of each sequence. */
export function pooled({ pooling: _, ...config }: HeadConfig, pooling: Pooling): HeadConfig {
  const own = pooling !== 'first' && pooling !== 'pooler';
  return { ...config, use_pooler: pooling === 'pooler', ...(own && { pooling }) } as HeadConfig;
}
