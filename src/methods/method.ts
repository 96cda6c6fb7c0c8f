import type { z } from 'zod';
import { fail } from '../base/index.ts';
import { type EncoderConfig, type LinearName, linearPath, type Place } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { Dropout, ParameterSpec } from '../nn/index.ts';
import type { Acts } from './act.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import type { PeftBeside, PeftLayout } from './peft-layout.ts';

/** A way to keep an adapter in a folder: that of `adapters`, or that of PEFT. */
export type AdapterLayout = 'adapters' | 'peft';

/** The value of one of the method's parameters by its full name; see {@link Method.acts}. */
export type ReadParameter = (name: string) => Value;

/**
 * One way of adapting an encoder. Shared code never asks which method it has: everything it needs is declared here.
 * `C` is the checked configuration.
 */
export interface Method<C extends MethodConfig = MethodConfig> {
  readonly name: string;
  /** One line for `multigraft methods`, and the paper. */
  readonly summary: string;
  readonly paper: string;
  /** The `architecture` written to adapter_config.json; null for bottleneck adapters, undefined where no adapter is saved. */
  readonly architecture: string | null | undefined;
  /** Whether a configuration of its architecture is this method's, where several share it; the one without a claim takes the rest. */
  claims?(config: MethodConfig): boolean;
  readonly schema: z.ZodType<C>;
  /** Names under which ready configurations are known (and old aliases), with what they set. */
  readonly presets: Readonly<Record<string, MethodConfig>>;
  /** Keys that Python insists on reading as floats: written 1.0, never 1. */
  readonly floatKeys: readonly string[];
  /**
   * Keys that `adapters` does not know. They are left out of what is written in its layout, which can hold only configurations where they
   * have their defaults: {@link layouts} says so.
   */
  readonly ownKeys?: readonly string[];
  /** Whether the encoder's own weights train too; they do not where this is left out. */
  readonly trainsEncoder?: boolean;
  /** A learning rate that suits the method where none is given. */
  readonly learningRate: number;
  /** Layouts of folders that can hold it, the usual one first; `adapters` alone where this is left out. */
  layouts?(config: C): readonly AdapterLayout[];
  /** How PEFT keeps it. */
  readonly peft?: PeftLayout<C>;
  /** How PEFT keeps it beside another method, where it never stands alone. */
  readonly peftBeside?: PeftBeside<C>;
  /** Parameters the method adds, frozen ones too. Throws `method.config`, `method.site`. */
  parameters(config: C, context: MethodContext): readonly ParameterSpec[];
  /**
   * What it does at its sites. `read` gives values of the shape that `parameters` declares. Where some of them are shared among
   * tasks, values of the others have an axis more in front: 1, or the batch, one for each sequence.
   */
  acts(config: C, context: MethodContext, read: ReadParameter, dropout: Dropout): Acts;
  /**
   * The same adapter with what it computes from its parameters alone put in their place, so that its other parameters are needed no more;
   * absent, or undefined, where there is nothing to put.
   */
  eject?(config: C, context: MethodContext, read: ReadParameter): Ejected<C> | undefined;
  /** What whoever loads a configuration should know of it. */
  notes?(config: C): readonly string[];
  /** Whether it mixes tokens after attention, so that the last layer must be computed for all of them. */
  mixesTokens(config: C): boolean;
  /** What of a configuration has no weighted mean, parameter by parameter; absent, or undefined, where all has. */
  withoutMean?(config: C): string | undefined;
  /** Of a method that is made of others. */
  readonly members?: Members<C>;
}

/** A simpler configuration, and the values of those of its parameters that are new, by full name. */
export interface Ejected<C extends MethodConfig = MethodConfig> {
  readonly config: C;
  readonly values: ReadonlyMap<string, Value>;
}

/** A method with a complete, checked configuration. */
export interface ConfiguredMethod {
  readonly method: Method;
  readonly config: MethodConfig;
  /** What the user wrote, for cards and summaries. */
  readonly text: string;
}

export interface ReadingOptions {
  readonly methods?: readonly Method[];
  /** Told of every key that the method does not have, with its value; such a key is an error where this is left out. */
  readonly onUnknownKey?: (key: string, value: unknown) => void;
}

/** A configuration as `adapters` has it, of a union that of each member: without keys of our own. */
export function configInAdapters({ method, config }: Pick<ConfiguredMethod, 'method' | 'config'>): MethodConfig {
  const { members, ownKeys = [] } = method;
  if (members) return { ...config, configs: members.of(config).map(configInAdapters) };
  return Object.fromEntries(Object.entries(config).filter(([key]) => !ownKeys.includes(key)));
}

/** What a method knows of others that it is made of. */
export interface Members<C extends MethodConfig = MethodConfig> {
  /** The same method, of which `methods` can be members. */
  among(methods: readonly Method[]): Method<C>;
  /** The members of a configuration, complete and checked. @throws method.config */
  of(config: C, subject?: string, options?: ReadingOptions): readonly ConfiguredMethod[];
  /** The configuration that has these members. @throws method.config for those that cannot be together */
  join(members: readonly ConfiguredMethod[]): C;
}

/** Full name of a module that `adapters` adds beside a sub-block: `….output.adapters.NAME`. */
export function adapterPath({ family, name }: MethodContext, place: Place, module: number): string {
  return `${family.prefix}${family.modulePath(place, module)}.${name}`;
}

/** Full name of a module inside a linear: `….query.loras.NAME`; `module` is undefined outside of the layers. */
export function loraPath({ family, name }: MethodContext, linear: LinearName, module: number | undefined): string {
  return `${linearPath(family, linear, module)}.loras.${name}`;
}

/** Full name of what all modules of an adapter have in common, as `adapters` keeps it: `….shared_parameters.NAME`. */
export function sharedPath({ family, name }: MethodContext): string {
  return `${family.prefix}shared_parameters.${name}`;
}

/** The distinct layer modules of an encoder that are not left out. @throws method.site when none is left */
export function modules({ groups }: EncoderConfig, leaveOut: readonly number[]): number[] {
  const kept = Array.from({ length: groups }, (_, i) => i).filter((i) => !leaveOut.includes(i));
  if (kept.length === 0)
    fail({ code: 'method.site', subject: 'leave_out', found: `all ${groups} layers`, expected: 'at least one layer to adapt' });
  return kept;
}
