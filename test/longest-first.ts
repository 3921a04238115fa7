import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes long whatever its size. */
const LONG = [
  'test/scripts/start.test.ts',
  'test/paths/crash.test.ts',
  'test/isolation/matrix.test.ts',
  'src/ai/providers/providers.test.ts',
  'src/migrate.test.ts',
  'test/paths/webhooks.test.ts',
  'test/fuzz/http.test.ts',
  'test/paths/idempotency.test.ts',
  'src/modules/payments/order.test.ts',
  'test/paths/canaries.test.ts',
  'test/paths/campaign-drill.test.ts',
  'test/paths/notifications.test.ts',
  'test/paths/cloud-campaign.test.ts',
  'test/paths/cli.test.ts',
  'test/paths/campaign-texts.test.ts',
  'test/paths/engines.test.ts',
  'src/modules/auth/link-pages.browser.test.ts',
  'test/fuzz/frames.test.ts',
  'test/paths/contact-ai.test.ts',
  'src/http/rate-limit/limits.test.ts',
  'src/modules/deals/moves.test.ts',
  'test/paths/doors.test.ts',
  'test/paths/analytics.test.ts',
  'test/paths/webhook-drill.test.ts',
  'test/paths/live-events.test.ts',
  'test/paths/stream.test.ts',
  'src/events/relay.test.ts',
  'src/modules/campaigns/must-hold.test.ts',
  'test/paths/provider-dies.test.ts',
  'test/paths/import.test.ts',
  'test/scripts/demo.test.ts',
  'src/server.test.ts',
  'test/paths/erasure.test.ts',
  'src/ai/router-simulation.test.ts',
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
