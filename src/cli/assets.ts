import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Files, fail, joinPath } from '../base/index.ts';
import { CA_MTL_CONFIG } from '../checkpoint/index.ts';
import { EXPANDED } from '../encoders/index.ts';

/** What comes with the package beside its code. The package is found by its own name: where this file lies when built, the build decides. */
export function assetPath(name: string): string {
  const root = dirname(createRequire(import.meta.url).resolve('multigraft/package.json'));
  return join(root, 'assets', name);
}

/** Whether a note about a model is news: what the encoder that comes with the package is stored as is none. */
export function isNews(note: string, model: string | undefined): boolean {
  return model !== undefined || !note.endsWith(EXPANDED);
}

/** The encoder's folder: the one given, or the small encoder that comes with the package. @throws file.missing */
export async function modelFolder(files: Files, given: string | undefined): Promise<string> {
  if (given !== undefined) return given;
  const embedded = assetPath('seedling');
  if ((await files.kind(joinPath(embedded, 'config.json'))) === 'file') return embedded;
  return fail({
    code: 'file.missing',
    subject: '--model',
    found: 'nothing, and no encoder comes with this copy of multigraft',
    expected: 'the folder of an encoder',
    next: 'Give --model FOLDER: config.json, weights and tokenizer.json as downloaded from Hugging Face.',
  });
}

/** As {@link modelFolder} where an encoder is wanted that answers alone. @throws file.missing, usage.value */
export async function encoderFolder(files: Files, given: string | undefined): Promise<string> {
  const folder = await modelFolder(files, given);
  if ((await files.kind(joinPath(folder, CA_MTL_CONFIG))) === 'none') return folder;
  return fail({
    code: 'usage.value',
    subject: '--model',
    found: `${folder}, a CA-MTL model, whose encoder is nothing without its task modules`,
    expected: 'the folder of an encoder',
    next: 'Give the encoder it was made from; multigraft multitask --add teaches the model itself another task.',
  });
}
