import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { readSums } from '#src/modules/analytics/analytics.query.ts';
import { period as periodView, reading, type PeriodQuery } from '#src/modules/analytics/analytics.schemas.ts';
import { periodOf, readingOf, spanOf, whoseOf } from '#src/modules/analytics/analytics.service.ts';
import { valueOf } from '#src/modules/analytics/metrics.ts';
import { contacts } from '#src/modules/analytics/sources/contacts.query.ts';
import type { Runtime } from '#src/runtime.ts';

export const ContactFiguresView = z
  .object({
    ...reading,
    ...periodView,
    created: z.int(),
    /** By where they came from: `manual`, `import`, `message`. */
    bySource: z.array(z.object({ key: z.string(), created: z.int() })),
    byDay: z.array(z.object({ day: z.iso.date(), created: z.int() })),
  })
  .meta({ id: 'AnalyticsContacts' });

/** New contacts, by where they came from and by day; days without any are left out. */
export async function readContactFigures(
  { pool }: Pick<Runtime, 'pool'>,
  auth: Auth,
  asked: z.output<typeof PeriodQuery>,
): Promise<z.input<typeof ContactFiguresView>> {
  const whose = whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const [sources, days] = await Promise.all([
    readSums(pool, whose, contacts, 'source', period),
    readSums(pool, whose, contacts, 'day', period),
  ]);
  const bySource = sources.map(({ key, amounts }) => ({ key, created: valueOf('contacts.created', amounts) }));
  const byDay = days.map(({ key, amounts }) => ({ day: key, created: valueOf('contacts.created', amounts) }));
  const created = bySource.reduce((sum, one) => sum + one.created, 0);
  return { ...readingOf(whose, period), ...spanOf(period), created, bySource, byDay };
}
