import { constants, crc32, deflateRawSync } from 'node:zlib';

/** A text with one byte in its middle a million times so often: packed without ever being whole. */
export interface Bomb {
  before: string;
  byte: string;
  millions: number;
  after: string;
}

type Content = string | Buffer | Bomb;

const part = (plain: Buffer) => ({ plain, packed: deflateRawSync(plain, { finishFlush: constants.Z_FULL_FLUSH }) });

/** Deflate's blocks stand for themselves behind a full flush (RFC 1951), so that packed parts may follow each other, and come again. */
function pack(content: Content): { packed: Buffer; crc: number; length: number } {
  if (typeof content === 'string' || Buffer.isBuffer(content)) {
    const plain = Buffer.from(content);
    return { packed: deflateRawSync(plain), crc: crc32(plain), length: plain.length };
  }
  const { before, byte, millions, after } = content;
  const million = part(Buffer.alloc(1_000_000, byte));
  const parts = [part(Buffer.from(before)), ...Array.from({ length: millions }, () => million)];
  const end = Buffer.from(after);
  return {
    packed: Buffer.concat([...parts.map(({ packed }) => packed), deflateRawSync(end)]),
    crc: crc32(
      end,
      parts.reduce((crc, { plain }) => crc32(plain, crc), 0),
    ),
    length: parts.reduce((sum, { plain }) => sum + plain.length, end.length),
  };
}

/** A zip file of some texts (APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16). */
export function zip(files: Record<string, Content>): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const { packed, crc, length } = pack(content);
    const sizes = Buffer.alloc(26);
    sizes.writeUInt16LE(20, 0);
    sizes.writeUInt16LE(8, 4);
    sizes.writeUInt32LE(crc, 10);
    sizes.writeUInt32LE(packed.length, 14);
    sizes.writeUInt32LE(length, 18);
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
/** A spreadsheet with this as its first sheet. */
export const book = (sheet: Content, more: Record<string, Content> = {}) =>
  zip({
    'xl/workbook.xml': WORKBOOK,
    'xl/_rels/workbook.xml.rels': RELS,
    'xl/styles.xml': STYLES,
    'xl/sharedStrings.xml': TEXTS,
    'xl/worksheets/sheet1.xml': sheet,
    ...more,
  });
