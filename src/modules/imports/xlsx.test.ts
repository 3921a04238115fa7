import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { PackedTexts } from '#src/modules/imports/packed-texts.ts';
import { readSheet } from '#src/modules/imports/xlsx.ts';
import { book, zip } from '#test/workbook.ts';

async function read(file: Buffer): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of readSheet(
    (start, end) => Readable.from([file.subarray(start, end)], { objectMode: false }),
    file.length,
  ))
    parts.push(part);
  return Buffer.concat(parts).toString();
}

describe('a spreadsheet', () => {
  it('is read as CSV: shared and own texts, numbers, days, gaps', async () => {
    const sheet = `<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>
      <row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>5.511987654321E12</v></c><c r="D2" s="1"><v>33238</v></c><c r="E2" t="inlineStr"><is><t>Olá</t></is></c></row>
      <row r="3"/><row r="4"><c r="B4" t="b"><v>1</v></c><c s="2"><v>44927.5</v></c><c t="e"><v>#N/A</v></c><c t="str"><v>f</v></c></row></sheetData></worksheet>`;
    expect(await read(book(sheet))).toBe(
      '"Nome","Telefone"\n"José & ""Cia""\r","5511987654321","","1990-12-31","Olá"\n"","true","2023-01-01 12:00:00","","f"\n',
    );
  });

  it('gives whole numbers that are written as floats as whole ones', async () => {
    const cells = ['5511960009000.0', '-7.00', '7.50', '100.'].map((value) => `<c><v>${value}</v></c>`).join('');
    const sheet = `<worksheet><sheetData><row>${cells}<c t="str"><v>1.0</v></c></row></sheetData></worksheet>`;
    expect(await read(book(sheet))).toBe('"5511960009000","-7","7.50","100","1.0"\n');
  });

  it.each<[string, () => Buffer, string]>([
    ['a zip of something else', () => zip({ 'a.txt': 'x' }), 'not_a_spreadsheet'],
    ['XML that breaks off', () => book('<worksheet><sheetData><row><c'), 'not_a_spreadsheet'],
    [
      'what is no zip behind its first bytes',
      () => Buffer.from(`PK\u0003\u0004${'x'.repeat(1000)}`),
      'not_a_spreadsheet',
    ],
    [
      'a row wider than any',
      () => book('<worksheet><sheetData><row><c r="ZZZ1"><v>1</v></c></row></sheetData></worksheet>'),
      'too_many_columns',
    ],
    [
      'a bomb',
      () => book({ before: '<worksheet>', byte: ' ', millions: 300, after: '</worksheet>' }),
      'file_too_large',
    ],
    [
      'a bomb of one text',
      () =>
        book('<worksheet/>', {
          'xl/sharedStrings.xml': { before: '<sst><si><t>', byte: 'x', millions: 280, after: '</t></si></sst>' },
        }),
      'file_too_large',
    ],
    [
      'an entity that names itself',
      () =>
        book(
          '<!DOCTYPE x [<!ENTITY a "&a;&a;">]><worksheet><sheetData><row><c t="str"><v>&a;</v></c></row></sheetData></worksheet>',
        ),
      'not_a_spreadsheet',
    ],
  ])('refuses %s, in little memory', async (_, file, code) => {
    const bytes = file();
    const before = process.memoryUsage.rss();
    await expect(read(bytes)).rejects.toMatchObject({ code });
    expect(process.memoryUsage.rss() - before).toBeLessThan(150_000_000);
  });

  it('keeps its texts in one piece', () => {
    const texts = new PackedTexts();
    const all = Array.from({ length: 5000 }, (_, at) => `é${at}`.repeat(at % 7));
    for (const text of all) expect(texts.add(text)).toBe(true);
    expect(all.map((_, at) => texts.at(at))).toEqual(all);
    expect([texts.at(-1), texts.at(5000), texts.at(1.5), texts.at(Number.NaN)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
