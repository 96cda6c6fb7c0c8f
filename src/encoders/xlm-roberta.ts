import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';
import { ROBERTA } from './roberta.ts';

/** XLM-RoBERTa (Conneau et al. 2020): RoBERTa's layers and names over a multilingual vocabulary. */
export const XLM_ROBERTA: EncoderFamily = {
  ...ROBERTA,
  name: 'xlm-roberta',
  config: (fields) => standardConfig('xlm-roberta', fields, { positions: 512, types: 2, padId: 1, vocabulary: 30522 }),
  python: 'XLMRoberta',
};
