import { describe, expect, it } from 'vitest';
import { parseEnv } from '../../scripts/lib/env-file.js';
import { parsePort } from '../../scripts/lib/ports.js';
import { parseProcfile } from '../../scripts/lib/procfile.js';

describe('.env', () => {
  it('is read with quotes, comments and export', () => {
    const text = '\uFEFF# all\nA=1\r\n export B = two words # note\nC="x # y\\nz" # note\nD=\'\\n#\'\nE=\nF=a#b\nA=2\n';
    expect(parseEnv(text)).toEqual({ A: '2', B: 'two words', C: 'x # y\nz', D: '\\n#', E: '', F: 'a#b' });
  });

  it.each([
    ['A=1\n\nBROKEN LINE\n', '.env line 3: expected NAME=value'],
    ['1A=x', '.env line 1: expected NAME=value'],
    ['A=1\nB="open', '.env line 2: the " is never closed'],
    ["A='x'y", ".env line 1: unexpected text after the closing '"],
  ])('%j is refused, naming the line', (text, message) => {
    expect(() => parseEnv(text)).toThrow(message);
  });

  it('is refused without showing the value, which may be a secret', () => {
    expect(() => parseEnv('APP_SECRET="s3cret')).toThrow(/^(?!.*s3cret)/);
  });
});

describe('the Procfile', () => {
  it('is read in order', () => {
    const processes = parseProcfile('# all\nweb: node src/server.ts\n\nmail :  node  workers/index.ts mail\n');
    expect([...processes]).toEqual([
      ['web', ['node', 'src/server.ts']],
      ['mail', ['node', 'workers/index.ts', 'mail']],
    ]);
  });

  it.each([
    ['web node a.ts', 'Procfile line 1: expected "name: command"'],
    ['web:', 'Procfile line 1: expected "name: command"'],
    ['web: a\nweb: b', 'Procfile line 2: "web" stands there twice'],
    ['web: a && b', 'Procfile line 1: plain words only, no shell runs it'],
    ['web: node a.ts $PORT', 'Procfile line 1: plain words only, no shell runs it'],
  ])('%j is refused, naming the line', (text, message) => {
    expect(() => parseProcfile(text)).toThrow(message);
  });
});

describe('PORT', () => {
  it('is a number from 0 to 65535, 3000 when there is none', () => {
    expect([parsePort(undefined), parsePort(''), parsePort('0'), parsePort('65535')]).toEqual([3000, 3000, 0, 65_535]);
    for (const text of ['x', '65536', '-1', '80.5', '1e3']) expect(() => parsePort(text)).toThrow(`PORT "${text}"`);
  });
});
