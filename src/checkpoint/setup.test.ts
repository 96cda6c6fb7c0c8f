import { expect, it } from 'vitest';
import { memoryFiles } from '../base/index.ts';
import { average, batchSplit, type Composition, multiTask, parallel, split, stack } from '../methods/index.ts';
import { loadSetup, saveSetup } from './setup.ts';

it.each<[string, Composition, number]>([
  ['a stack', stack('a', 'b'), 0],
  ['an average', average(['a', 'b'], { weights: [0.25, 0.75] }), 1],
  ['an average in a stack', stack('a', average(['b', 'c'])), 1],
  ['a split batch', batchSplit(['a', stack('b', 'c')], { batchSizes: [3, 0] }), 0],
  ['split tokens', split([split(['a', 'b'], { splits: 2 }), 'c'], { splits: [4, 1] }), 0],
  ['several at once', stack('c', parallel(stack('a', 'b'), 'b')), 0],
  ['rows by task', stack('c', multiTask('a', 'b')), 1],
])('%s comes back as it was saved, with a note where Python answers otherwise', async (_, setup, notes) => {
  const files = memoryFiles();
  await saveSetup(files, 's', setup, [{ name: 'a', config: { head_type: 'classification', label2id: null } }]);
  const loaded = await loadSetup(files, 's');
  expect(loaded).toMatchObject({ composition: setup, heads: ['a'] });
  expect(loaded.notes).toHaveLength(notes);
  for (const note of loaded.notes) expect(note).toContain('adapters 1.3.0');
});
