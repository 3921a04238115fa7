const NUMERIC = /^\d+(-\d+)*$/;

/** The id below every event of a job: subscribing from here gives all there is. */
export const BEFORE_ALL = '0-0';

function compareDigits(left: string, right: string): number {
  const a = left.replace(/^0+(?=\d)/, '');
  const b = right.replace(/^0+(?=\d)/, '');
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Orders two event ids of one topic: `<attempt>-<seq>` number by number (of any size), other ids (UUID v7) as text. */
export function compareEventIds(left: string, right: string): number {
  if (!NUMERIC.test(left) || !NUMERIC.test(right)) return left < right ? -1 : left > right ? 1 : 0;
  const a = left.split('-');
  const b = right.split('-');
  for (let part = 0; part < Math.max(a.length, b.length); part += 1) {
    const order = compareDigits(a[part] ?? '0', b[part] ?? '0');
    if (order !== 0) return order;
  }
  return 0;
}
