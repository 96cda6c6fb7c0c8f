import { defineConfig } from 'vitest/config';

/** Tests that measure what their process holds: each needs a process of its own. */
const MEMORY = ['test/program/memory.test.ts', 'test/real/train-memory.test.ts'];

export default defineConfig({
  // `#platform` of package.json is then a file of src/, not of dist/.
  ssr: { resolve: { conditions: ['multigraft-source'] } },
  test: {
    setupFiles: ['test/setup.ts'],
    // Vitest leaves a core idle by itself; on small machines that is half of them.
    maxWorkers: '100%',
    // On a machine that others use too, a test may take ten times as long as alone.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // No module has state (a fence says so), so files can share a process.
    isolate: false,
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['src/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/hostile/**/*.test.ts'] },
      },
      { extends: true, test: { name: 'golden', include: ['test/golden/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'program',
          include: ['test/program/**/*.test.ts', 'test/package/**/*.test.ts', 'test/recipes/**/*.test.ts'],
          exclude: MEMORY,
          testTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: { name: 'real', include: ['test/real/**/*.test.ts', 'test/interop/**/*.test.ts'], exclude: MEMORY, testTimeout: 600_000 },
      },
      { extends: true, test: { name: 'memory', include: MEMORY, isolate: true, testTimeout: 300_000 } },
    ],
  },
});
