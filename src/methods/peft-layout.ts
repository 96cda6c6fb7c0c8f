import type { Tensor } from '../base/index.ts';
import type { Json } from '../formats/json.ts';
import type { MethodConfig, MethodContext } from './context.ts';

/** How PEFT keeps a method: the `peft_type` of its adapter_config.json, and what lies under which names. */
export interface PeftLayout<C extends MethodConfig = MethodConfig> {
  readonly type: string;
  /** @throws adapter.format, adapter.mismatch naming the field or tensor that cannot be expressed */
  read(folder: PeftFolder, context: MethodContext): PeftReading;
  /** @throws adapter.format for a configuration that PEFT has no form for */
  write(config: C, tensors: ReadonlyMap<string, Tensor>, context: MethodContext): PeftWriting;
}

export interface PeftFolder {
  /** adapter_config.json, and its path. */
  readonly raw: { readonly [key: string]: Json };
  readonly path: string;
  /** By the names in the file, without PEFT's prefix; `weights` is the file's path. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly weights: string;
  /** Called as the user knows it. */
  readonly model: string;
}

export interface PeftReading {
  /** In the keys of the method's own configuration. */
  readonly config: MethodConfig;
  /** By full name, as {@link Method.parameters} has them. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Tensors of the file that are none of the method's: a head perhaps. */
  readonly rest: ReadonlyMap<string, Tensor>;
  readonly notes: readonly string[];
}

export interface PeftWriting {
  /** Fields of adapter_config.json beside those that all have. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Tensors that PEFT keeps beside the encoder, not under it. */
  readonly beside?: ReadonlyMap<string, Tensor>;
}

/** How PEFT keeps a method that stands beside another one in the same folder, and never alone. */
export interface PeftBeside<C extends MethodConfig = MethodConfig> {
  /**
   * What is its own of what another method left; undefined for nothing.
   * @throws adapter.format naming a tensor that cannot be expressed
   */
  read(rest: ReadonlyMap<string, Tensor>, folder: PeftFolder, context: MethodContext): Omit<PeftReading, 'notes'> | undefined;
  /** Names for `modules_to_save`, and tensors under names of the encoder. */
  write(
    config: C,
    tensors: ReadonlyMap<string, Tensor>,
    context: MethodContext,
  ): { readonly modules: readonly string[]; readonly tensors: ReadonlyMap<string, Tensor> };
}

/** Fields that all methods of PEFT have. */
export const COMMON_FIELDS = [
  'auto_mapping',
  'base_model_name_or_path',
  'exclude_modules',
  'inference_mode',
  'modules_to_save',
  'peft_type',
  'peft_version',
  'revision',
  'target_modules',
  'task_type',
];
/** Those of methods at linears. Which are adapted is taken from the weights, however they are named. */
export const LINEAR_FIELDS = [...COMMON_FIELDS, 'layers_pattern', 'layers_to_transform'];

/** Whether a field of adapter_config.json says anything. */
export function isSet(value: Json | undefined): boolean {
  return value !== undefined && value !== null && value !== false && !(typeof value === 'object' && Object.keys(value).length === 0);
}
