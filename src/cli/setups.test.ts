import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommand } from '../../test/command.ts';
import { writeTinyEncoder, writeTinyTask } from '../../test/tiny.ts';
import { open, quick, world } from '../../test/tiny-world.ts';
import { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { nodeFiles } from '../base/files-node.ts';
import { fuse, parallel, stack } from '../methods/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { command as summary } from './summary.ts';
import { command as train } from './train.ts';

describe('summary', () => {
  it('of setups: what is active, what would train, fusions among them', async () => {
    const files = world();
    const model = await open(files);
    for (const name of ['a', 'b', 'c']) {
      model.addAdapter(name, name === 'c' ? 'lora' : 'seq_bn');
      await model.saveAdapter(name, name);
    }
    model.addAdapterFusion(['a', 'b']);
    await model.saveAdapterFusion('mixed', fuse(['a', 'b']));
    model.setActiveAdapters(stack('c', parallel('a', 'b')));
    await model.saveAdapterSetup('setup');
    const rows = async (raw: Readonly<Record<string, unknown>>) => {
      const { out } = await runCommand(files, summary, { model: 'tiny', ...raw });
      return (JSON.parse(out) as Record<string, unknown>[]).map(({ name, active, train: trains }) => [name, active, trains]);
    };
    expect(await rows({ setup: 'setup' })).toEqual([
      ['c', true, false],
      ['a', true, false],
      ['b', true, false],
      ['tiny', true, false],
    ]);
    const given = { adapter: ['a', 'b', 'c'], fusion: ['mixed'] };
    expect(await rows({ ...given, setup: 'Stack(c, Fuse(a, b))' })).toEqual([
      ['a', true, false],
      ['b', true, false],
      ['c', true, false],
      ['a,b', true, true],
      ['tiny', true, false],
    ]);
    expect(await rows({ adapter: ['a', 'c'], setup: 'a' })).toEqual([
      ['a', true, true],
      ['c', false, false],
      ['tiny', true, false],
    ]);
    expect(await rows({ adapter: ['setup'] })).toHaveLength(4);
    await expect(rows({ adapter: ['a'], setup: 'Stack(a, z)' })).rejects.toThrow("adapter 'z': found none of that name");
  });
});

describe('train --init', () => {
  const folder = mkdtempSync(join(tmpdir(), 'multigraft-init-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('takes method and settings from the folder', async () => {
    const model = await writeTinyEncoder(folder);
    const task = await writeTinyTask(folder, 'classification');
    const init = join(folder, 'first');
    const first = await AutoAdapterModel.fromPretrained(model, { engine: referenceEngine() });
    first.addAdapter('first', 'lora[r=3,alpha=5]');
    await first.saveAdapter(init, 'first');
    const config = (path: string) => JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')).config;
    const run = async (more: Readonly<Record<string, unknown>>) => {
      const output = join(folder, 'trained');
      const raw = { model, task, init, output, overwrite: true, threads: '1', ...more };
      await runCommand(nodeFiles, train, { ...raw, maxSteps: `${quick.maxSteps}`, batchSize: `${quick.batchSize}` });
      return config(output);
    };
    expect(await run({})).toEqual(config(init));
    expect(await run({ method: 'lora[r=3,alpha=5,dropout=0.1]' })).toMatchObject({ r: 3, dropout: 0.1 });
    await expect(run({ method: 'lora[r=4,alpha=5]' })).rejects.toThrow(`--method: found r 4, beside --init ${init}; expected the method`);
    await expect(run({ method: 'seq_bn' })).rejects.toThrow('--method: found seq_bn, beside --init');
  });
});
