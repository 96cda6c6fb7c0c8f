import type { EmbeddedSite, KeysAndValues, SiteName, Sites } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { LowRank } from './low-rank.ts';

/** The sub-block's output as adapters hand it on; with a residual it is what adapters read, prepared for one of them. */
export interface ResidualState {
  readonly h: Value;
  readonly residual?: Value;
}

/**
 * What is handed from one adapter to the next at a site. At a linear it is the update [rows, out] that adapters make, undefined
 * before the first of them; at a residual the sub-block's output; at attention keys, values and mask; elsewhere what stands there.
 */
export interface States {
  readonly embedded: EmbeddedSite;
  readonly input: Value;
  readonly linear: Value | undefined;
  readonly attention: KeysAndValues;
  readonly scores: Value;
  readonly residual: ResidualState;
  readonly norm: Value;
  readonly layer: Value;
  readonly output: Value;
  readonly word: Value;
}

/** What an adapter, or several that a block puts together, does at one site. */
export interface Act<Name extends SiteName = SiteName> {
  /** The state after it. */
  readonly apply: (state: States[Name]) => States[Name];
  /** What it does before it is applied, where a block does that once for all its children. */
  readonly prepare?: (state: States[Name]) => States[Name];
  /**
   * Ends a linear or a residual: what stands there in the end. Of several acts the last one's counts; stock where it is absent.
   * `otherwise` is how the site would end without this act: for rows that it leaves alone.
   */
  readonly close?: (state: States[Name], otherwise: (state: States[Name]) => Value) => Value;
  /** Why no other act may follow it, where none may. */
  readonly ends?: string;
  /** The steps between which a fusion puts other things; absent where the contribution is no product of low rank. */
  readonly open?: Opened<Name>;
}

/** An act taken apart; all values are [rows, d]. */
export interface Opened<Name extends SiteName = SiteName> {
  readonly read: (state: States[Name]) => {
    /** What a fusion asks with: what the adapter reads, and the same before the encoder's norm. */
    readonly query: Value;
    readonly queryBeforeNorm: Value;
    /** What is added to what the fusion gives. */
    readonly residual: Value;
    /** What fused adapters are applied to. */
    readonly state: States[Name];
  };
  /** What it contributes to a state that `read` gave; `standardize` is (x − mean)/deviation, one value for equal x. */
  readonly lowRank: (state: States[Name], standardize: (x: Value) => Value) => LowRank;
  /** A fusion's output, residual and all, as a state; undefined where it ends the site. */
  readonly resume?: (output: Value) => States[Name];
}

/** What a method does at the sites it uses: undefined where it leaves one as it is. */
export type Acts = { readonly [Name in SiteName]?: (site: Sites[Name]) => Act<Name> | undefined };

/** Acts one after another, each on the state that the one before it gives; undefined without any. */
export function chain<Name extends SiteName>(acts: readonly Act<Name>[]): Act<Name> | undefined {
  const last = acts.at(-1);
  if (!last || acts.length === 1) return last;
  return {
    apply: (state) => acts.reduce((before, act) => act.apply(act.prepare ? act.prepare(before) : before), state),
    ...(acts[0]?.prepare && { prepare: acts[0].prepare }),
    ...(last.close && {
      close: (state, otherwise) =>
        acts.reduce<typeof otherwise>((before, { close }) => (close ? (given) => close(given, before) : otherwise), otherwise)(state),
    }),
  };
}
