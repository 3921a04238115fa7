/**
 * One line of CSV (RFC 4180), every cell quoted. What a spreadsheet would run as a formula, in wide characters too, gets an apostrophe in front;
 * also within a cell behind what parts cells where lists are written with semicolons, as in Brazil: there our quotes are no quotes.
 * @param cells texts, numbers, or null for an empty cell
 */
export function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map((cell) => `"${harmless(cell === null ? '' : String(cell)).replaceAll('"', '""')}"`).join(',')}\r\n`;
}

const FORMULA = /(?<=[;\t\r\n])(?=['\s\0]*[=+\-@＝＋－＠])/g;
const GUARD = /(?<=^|[;\t\r\n])'(?=['\s\0]*[=+\-@＝＋－＠])/g;

function harmless(text: string): string {
  const isRun = /^['\s\0]*[=+\-@＝＋－＠]|^[\t\r\n]/.test(text);
  return `${isRun ? "'" : ''}${text.replaceAll(FORMULA, "'")}`;
}

/** The text of a cell without the apostrophes that `csvLine` put before what would be a formula; any other stays. */
export const withoutGuard = (cell: string): string => (cell.includes("'") ? cell.replaceAll(GUARD, '') : cell);
