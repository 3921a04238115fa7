import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes long whatever its size. */
const LONG = [
  // What it starts and ends leaves compiled code for all that is started after it.
  'test/scripts/start.test.ts',
  'test/paths/crash.test.ts',
  'src/ai/providers/providers.test.ts',
  'test/scripts/demo.test.ts',
  'test/isolation/matrix.test.ts',
  'test/paths/webhooks.test.ts',
  'test/paths/webhook-drill.test.ts',
  'src/migrate.test.ts',
  'test/paths/import.test.ts',
  'test/fuzz/http.test.ts',
];

/** Starts what takes long first, so that no worker is left alone with it; then as usual, by an earlier run's times or by size. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const path = relative(this.ctx.config.root, moduleId);
      const at = LONG.indexOf(path);
      return at === -1 ? LONG.length : at;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- this one is vitest's.
    const usual = await super.sort(files);
    return usual.toSorted((a, b) => place(a) - place(b));
  }
}
