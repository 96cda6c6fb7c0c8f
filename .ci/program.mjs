import { createRequire } from 'node:module';

const { exports } = createRequire(import.meta.url)('multigraft/package.json');
for (const path of Object.keys(exports).filter((name) => !name.endsWith('.json'))) {
  const names = Object.keys(await import(`multigraft${path.slice(1)}`));
  if (names.length === 0) throw new Error(`multigraft${path.slice(1)} exports nothing`);
}
