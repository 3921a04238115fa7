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
    // Everything comes late where others have the processor: only what never comes shall fail, and these say when never is.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
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
