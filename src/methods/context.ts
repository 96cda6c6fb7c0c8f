import type { Encoder, EncoderConfig, EncoderFamily } from '../encoders/index.ts';

/** The configuration of a method as it stands on disk: the Python library's own keys. */
export type MethodConfig = Readonly<Record<string, unknown>>;

/** An encoder, as far as a method looks at it. */
export interface EncoderFacts {
  readonly encoder: EncoderConfig;
  readonly family: EncoderFamily;
}

/** What a method is told of an encoder. */
export function encoderFacts({ config, family }: Pick<Encoder, 'config' | 'family'>): EncoderFacts {
  return { encoder: config, family };
}

/** What a method is attached to, and under which name. */
export interface MethodContext extends EncoderFacts {
  /** The adapter's name: part of every parameter's name. */
  readonly name: string;
}
