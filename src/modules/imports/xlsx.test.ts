import { Readable } from 'node:stream';
import { crc32, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { PackedTexts } from '#src/modules/imports/packed-texts.ts';
import { readSheet } from '#src/modules/imports/xlsx.ts';

/** A zip file of some texts (APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16). */
function zip(files: Record<string, string | Buffer>): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const plain = Buffer.from(content);
    const packed = deflateRawSync(plain);
    const sizes = Buffer.alloc(26);
    sizes.writeUInt16LE(20, 0);
    sizes.writeUInt16LE(8, 4);
    sizes.writeUInt32LE(crc32(plain), 10);
    sizes.writeUInt32LE(packed.length, 14);
    sizes.writeUInt32LE(plain.length, 18);
    sizes.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('504b0304', 'hex'), sizes, Buffer.from(name), packed]);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from('504b01021400', 'hex'), sizes, place, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('504b0506', 'hex');
  end.writeUInt16LE(central.length, 8);
  end.writeUInt16LE(central.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

const WORKBOOK = `<?xml version="1.0"?><workbook xmlns:r="r"><sheets><sheet name="A" r:id="rId7"/><sheet name="B" r:id="rId8"/></sheets></workbook>`;
const RELS = `<Relationships><Relationship Id="rId8" Target="worksheets/other.xml"/><Relationship Id="rId7" Target="worksheets/sheet1.xml"/></Relationships>`;
const STYLES = `<styleSheet><numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs></styleSheet>`;
const TEXTS = `<x:sst xmlns:x="y"><x:si><x:t>Nome</x:t></x:si><x:si><x:t>Telefone</x:t></x:si><x:si><x:r><x:t>José </x:t></x:r><x:r><x:t>&amp; "Cia"_x000D_</x:t></x:r><x:rPh><x:t>fora</x:t></x:rPh></x:si></x:sst>`;
const book = (sheet: string, more: Record<string, string> = {}) =>
  zip({
    'xl/workbook.xml': WORKBOOK,
    'xl/_rels/workbook.xml.rels': RELS,
    'xl/styles.xml': STYLES,
    'xl/sharedStrings.xml': TEXTS,
    'xl/worksheets/sheet1.xml': sheet,
    ...more,
  });

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
    ['a bomb', () => book(`<worksheet>${' '.repeat(300_000_000)}</worksheet>`), 'file_too_large'],
    [
      'a bomb of one text',
      () => book('<worksheet/>', { 'xl/sharedStrings.xml': `<sst><si><t>${'x'.repeat(280_000_000)}</t></si></sst>` }),
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
