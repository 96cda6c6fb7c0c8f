import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    setupFiles: ['test/setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/hostile/**/*.test.ts'],
          testTimeout: 30_000,
        },
      },
      { extends: true, test: { name: 'golden', include: ['test/golden/**/*.test.ts'], testTimeout: 30_000 } },
      {
        extends: true,
        test: {
          name: 'program',
          include: ['test/program/**/*.test.ts', 'test/package/**/*.test.ts', 'test/recipes/**/*.test.ts'],
          testTimeout: 300_000,
        },
      },
      { extends: true, test: { name: 'real', include: ['test/real/**/*.test.ts', 'test/interop/**/*.test.ts'], testTimeout: 600_000 } },
    ],
  },
});
