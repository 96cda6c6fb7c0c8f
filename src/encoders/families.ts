import { fail, nearest } from '../base/index.ts';
import { ALBERT } from './albert.ts';
import { BERT } from './bert.ts';
import { DEBERTA_V2 } from './deberta-v2.ts';
import { DISTILBERT } from './distilbert.ts';
import { ELECTRA } from './electra.ts';
import type { EncoderFamily } from './family.ts';
import { MODERNBERT } from './modernbert.ts';
import { MPNET } from './mpnet.ts';
import { ROBERTA } from './roberta.ts';
import { XLM_ROBERTA } from './xlm-roberta.ts';

/** Every encoder family there is. */
export const FAMILIES: readonly EncoderFamily[] = [BERT, ROBERTA, XLM_ROBERTA, DISTILBERT, ELECTRA, ALBERT, MODERNBERT, MPNET, DEBERTA_V2];

/** The family of a Hugging Face `model_type`. Throws `encoder.config`. */
export function familyOf(modelType: string, subject: string, families: readonly EncoderFamily[] = FAMILIES): EncoderFamily {
  const found = families.find((family) => family.name === modelType);
  if (found) return found;
  const names = families.map((family) => family.name);
  const near = nearest(modelType, names);
  return fail({
    code: 'encoder.config',
    subject: `${subject}: field 'model_type'`,
    found: `'${modelType}'`,
    expected: `one of ${names.join(', ')}`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}
