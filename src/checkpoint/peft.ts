import { fail } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Json } from '../formats/json.ts';
import type { AdapterPackage, LoadedAdapter, LoadingOptions } from './package.ts';
import type { WeightFormat } from './weights.ts';

export function isPeftConfig(raw: { [key: string]: Json }): boolean {
  return 'peft_type' in raw;
}
export async function loadPeft(_files: Files, folder: string, _raw: { [key: string]: Json }, _options: LoadingOptions): Promise<LoadedAdapter> {
  return fail({ code: 'adapter.format', subject: folder, found: 'PEFT' });
}
export async function savePeft(_files: Files, folder: string, _adapter: AdapterPackage, _format: WeightFormat): Promise<void> {
  return fail({ code: 'adapter.format', subject: folder, found: 'PEFT' });
}
export async function removePeft(_files: Files, _folder: string): Promise<void> {}
