/**
 * One line of CSV (RFC 4180), every cell quoted. A cell that a spreadsheet would run as a formula, in wide characters too, gets an apostrophe in front.
 * @param cells texts, numbers, or null for an empty cell
 */
export function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map((cell) => `"${harmless(cell === null ? '' : String(cell)).replaceAll('"', '""')}"`).join(',')}\r\n`;
}

const harmless = (text: string): string => (/^[\s\0]*[=+\-@＝＋－＠]|^[\t\r\n]/.test(text) ? `'${text}` : text);
