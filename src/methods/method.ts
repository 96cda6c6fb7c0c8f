import type { z } from 'zod';
import { fail } from '../base/errors.ts';
import type { AddNormSite, EncoderConfig, EncoderFamily, Graft, LinearName, LinearSite, NormPlace } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { Dropout, ParameterSpec, Parameters } from '../nn/index.ts';
import type { LowRank } from './low-rank.ts';

/** The configuration of a method as it stands on disk: the Python library's own keys. */
export type MethodConfig = Readonly<Record<string, unknown>>;

/** A way to keep an adapter in a folder: that of `adapters`, or that of PEFT. */
export type AdapterLayout = 'adapters' | 'peft';

/** What a method is attached to, and under which name. */
export interface MethodContext {
  readonly encoder: EncoderConfig;
  readonly family: EncoderFamily;
  /** The adapter's name: part of every parameter's name. */
  readonly name: string;
}

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
  readonly schema: z.ZodType<C>;
  /** Names under which ready configurations are known (and old aliases), with what they set. */
  readonly presets: Readonly<Record<string, MethodConfig>>;
  /** Keys that Python insists on reading as floats: written 1.0, never 1. */
  readonly floatKeys: readonly string[];
  /** Whether the encoder's own weights train too. */
  readonly trainsEncoder: boolean;
  /** A learning rate that suits the method where none is given. */
  readonly learningRate: number;
  /** Layouts of folders that can hold it, the usual one first; `adapters` alone where this is left out. */
  layouts?(config: C): readonly AdapterLayout[];
  /** Parameters the method adds. Throws `method.config`, `method.site`. */
  parameters(config: C, context: MethodContext): readonly ParameterSpec[];
  /** What it does at its sites. */
  graft(config: C, context: MethodContext, parameters: Parameters, dropout: Dropout): Graft;
  /** Whether it mixes tokens after attention, so that the last layer must be computed for all of them. */
  mixesTokens(config: C): boolean;
  /** Methods that compositions can take apart: where their modules stand, and one of them; undefined where it has none. */
  places?(config: C): readonly NormPlace[];
  linears?(config: C): readonly LinearName[];
  moduleAt?(config: C, context: MethodContext, parameters: Parameters, dropout: Dropout, site: AddNormSite): AddNormModule | undefined;
  /** Methods whose modules for several tasks have a part in common: how they act together. Others have one for each, apart. */
  readonly amongTasks?: AmongTasks<C>;
  /** What it adds to a linear: [rows, out]. */
  lowRankAt?(config: C, context: MethodContext, parameters: Parameters, dropout: Dropout, site: LinearSite): LowRank | undefined;
}

/** Modules of several tasks that share parameters; the sequences of a batch may be of any of the tasks. */
export interface AmongTasks<C extends MethodConfig = MethodConfig> {
  /** Whether all tasks have the same tensor there, by a parameter's full name. */
  shares(name: string): boolean;
  /** As {@link Method.graft}, but parameters that tasks do not share have a value for each sequence: [batch, …shape]. */
  graft(config: C, context: MethodContext, parameters: Parameters, dropout: Dropout): Graft;
}

/** One adapter at one add-norm site, in the steps that compositions put other things between. All values are [rows, d]. */
export interface AddNormModule {
  /** What the module reads (z), the same before the encoder's norm, and the module's own residual. */
  before(site: Pick<AddNormSite, 'h' | 'x' | 'normalize'>): { readonly z: Value; readonly unnormed: Value; readonly residual: Value };
  /** What it contributes, u, before dropout, gate, norm and residual. `standardize` gives (z − mean)/deviation, one value for equal z. */
  lowRank(z: Value, standardize: (z: Value) => Value): LowRank;
  /** The contribution with dropout, gate, norm and residual applied. */
  inside(u: Value, z: Value, residual: Value): Value;
  /** Closes the site. */
  after(o: Value, site: Pick<AddNormSite, 'h' | 'x' | 'normalize'>): Value;
}

/** Full name of a module that `adapters` adds beside a sub-block: `….output.adapters.NAME`. */
export function adapterPath({ family, name }: MethodContext, place: NormPlace, module: number): string {
  return `${family.prefix}${family.adapterSites[place](module)}.${name}`;
}

/** Full name of a fusion that `adapters` adds beside a sub-block: `….output.adapter_fusion_layer.NAME`. */
export function fusionPath({ family, name }: MethodContext, place: NormPlace, module: number): string {
  return `${family.prefix}${family.adapterSites[place](module)}.${name}`.replace(/adapters(?=\.[^.]*$)/, 'adapter_fusion_layer');
}

/** Full name of a module that `adapters` adds inside a linear: `….query.loras.NAME`. */
export function loraPath({ family, name }: MethodContext, linear: LinearName, module: number): string {
  return `${family.prefix}${family.names.linear(module, linear)}.loras.${name}`;
}

/** The distinct layer modules of an encoder that are not left out. @throws method.site when none is left */
export function modules({ groups }: EncoderConfig, leaveOut: readonly number[]): number[] {
  const kept = Array.from({ length: groups }, (_, i) => i).filter((i) => !leaveOut.includes(i));
  if (kept.length === 0)
    fail({ code: 'method.site', subject: 'leave_out', found: `all ${groups} layers`, expected: 'at least one layer to adapt' });
  return kept;
}

/** The distinct places at which one adapter acts. */
export const PLACES: readonly NormPlace[] = ['attention', 'output'];
