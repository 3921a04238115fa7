import { defineConfig } from 'vitest/config';
import { countReporter } from './test/count-reporter.ts';
import { LongestFirst } from './test/longest-first.ts';

const PLAIN = ['test/architecture.test.ts', 'test/scripts/**/*.test.ts'];

export default defineConfig({
  test: {
    maxWorkers: 3,
    // One process runs many files and loads the platform once; each file has a database and a Redis prefix of its own.
    // What a file changes of the process (its environment, its clock, the model catalogue) it puts back.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // What is waited for comes late where other tests have the processor.
    expect: { poll: { timeout: 15_000 } },
    reporters: ['default', countReporter],
    projects: [
      // These need no services: they start in an instant, and `npm run check` runs the first.
      { extends: true, test: { name: 'plain', include: PLAIN } },
      {
        extends: true,
        test: {
          name: 'services',
          include: ['**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', '.data/**', ...PLAIN],
          globalSetup: 'test/global-setup.ts',
        },
      },
    ],
  },
});
