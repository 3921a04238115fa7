import { defineConfig } from 'vitest/config';
import { countReporter } from './test/count-reporter.ts';
import { LongestFirst } from './test/longest-first.ts';

const PLAIN = ['test/architecture.test.ts', 'test/scripts/**/*.test.ts'];
const PROCESSES = ['test/paths/**/*.test.ts', 'src/server.test.ts', 'src/migrate.test.ts', '**/*browser.test.ts'];
const NEVER = ['**/node_modules/**', '**/dist/**', '.data/**'];

export default defineConfig({
  test: {
    maxWorkers: 2,
    // One process runs many files and loads the platform once; each file has a database and a Redis prefix of its own.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What is waited for comes late where other tests have the processor.
    expect: { poll: { timeout: 15_000 } },
    reporters: ['default', countReporter],
    projects: [
      // These need no services from outside, and `npm run check` runs the first.
      { extends: true, test: { name: 'plain', include: PLAIN } },
      // These start processes of the platform, or a browser: two files at a time keep the processor busy.
      {
        extends: true,
        test: { name: 'processes', include: PROCESSES, exclude: NEVER, globalSetup: 'test/global-setup.ts' },
      },
      // These wait for Postgres and Redis now and then: a third one uses the time.
      {
        extends: true,
        test: {
          name: 'services',
          include: ['**/*.test.ts'],
          exclude: [...NEVER, ...PLAIN, ...PROCESSES],
          globalSetup: 'test/global-setup.ts',
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
