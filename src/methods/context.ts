import type { Encoder, EncoderConfig, EncoderFamily } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';

/** The configuration of a method as it stands on disk: the Python library's own keys. */
export type MethodConfig = Readonly<Record<string, unknown>>;

/** An encoder, as far as a method looks at it. */
export interface EncoderFacts {
  readonly encoder: EncoderConfig;
  readonly family: EncoderFamily;
  /** Token ids of a text, those that begin and end it too, where the encoder's tokenizer is there. */
  readonly tokenize?: Encoder['tokenize'];
}

/** What a method is told of an encoder. */
export function encoderFacts({ config, family, tokenize }: Pick<Encoder, 'config' | 'family' | 'tokenize'>): EncoderFacts {
  return { encoder: config, family, ...(tokenize && { tokenize }) };
}

/** What a method is attached to, and under which name. */
export interface MethodContext extends EncoderFacts {
  /** The adapter's name: part of every parameter's name. */
  readonly name: string;
  /** Is told of what shows what a method does, where somebody looks. */
  readonly observe?: Observe | undefined;
}

/** Told of values by name: [rows, columns] or [batch, columns], with the names of columns that have some. */
export type Observe = (name: string, value: Value, columns?: readonly string[]) => void;
