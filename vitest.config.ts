import { defineConfig } from 'vitest/config';

export default defineConfig({
  // `#platform` of package.json is then a file of src/, not of dist/.
  ssr: { resolve: { conditions: ['multigraft-source'] } },
  test: {
    setupFiles: ['test/setup.ts'],
    // Vitest leaves a core idle by itself; on small machines that is half of them.
    maxWorkers: '100%',
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/hostile/**/*.test.ts'],
          testTimeout: 30_000,
          // No module has state (a fence says so), so files can share a process.
          isolate: false,
        },
      },
      { extends: true, test: { name: 'golden', include: ['test/golden/**/*.test.ts'], testTimeout: 30_000, isolate: false } },
      {
        extends: true,
        test: {
          name: 'program',
          include: ['test/program/**/*.test.ts', 'test/package/**/*.test.ts', 'test/recipes/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      { extends: true, test: { name: 'real', include: ['test/real/**/*.test.ts', 'test/interop/**/*.test.ts'], testTimeout: 600_000 } },
    ],
  },
});
