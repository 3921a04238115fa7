import type { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { readSums } from '#src/modules/analytics/analytics.query.ts';
import type { DealFigures, DealsQuery, DealsView } from '#src/modules/analytics/analytics.schemas.ts';
import { addSums, periodOf, readingOf, spanOf, whoseDealsOf } from '#src/modules/analytics/analytics.service.ts';
import { deals } from '#src/modules/analytics/sources/deals.query.ts';
import type { Runtime } from '#src/runtime.ts';

const at = (measure: (typeof deals.measures)[number], amounts: readonly number[]): number =>
  amounts[deals.measures.indexOf(measure)] ?? 0;

function figuresOf(currency: string, amounts: readonly number[]): DealFigures {
  const [created, won, lost] = [at('created', amounts), at('won', amounts), at('lost', amounts)];
  return {
    currency,
    created,
    won,
    lost,
    createdMinor: at('createdMinor', amounts),
    wonMinor: at('wonMinor', amounts),
    lostMinor: at('lostMinor', amounts),
    winRate: won + lost === 0 ? null : won / (won + lost),
  };
}

/** What deals came to, by currency and day, pipeline or owner. */
export async function readDealFigures(
  { pool }: Pick<Runtime, 'pool'>,
  auth: Auth,
  { groupBy, ...asked }: z.output<typeof DealsQuery>,
): Promise<z.input<typeof DealsView>> {
  const whose = whoseDealsOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const sums = await readSums(pool, whose, deals, `${groupBy}/currency`, period);
  const rows = sums.map(({ key, amounts }) => {
    const [name = '', currency = ''] = key.split('/');
    return { key: name === '' ? null : name, currency, amounts };
  });
  const currencies = [...new Set(rows.map(({ currency }) => currency))].toSorted();
  const total = currencies.map((currency) => {
    const own = rows.filter((row) => row.currency === currency).map(({ amounts }) => amounts);
    return figuresOf(currency, addSums(own, deals.measures.length));
  });
  const data = rows.map(({ key, currency, amounts }) => ({ key, ...figuresOf(currency, amounts) }));
  return { ...readingOf(whose, period), ...spanOf(period), groupBy, total, data };
}
