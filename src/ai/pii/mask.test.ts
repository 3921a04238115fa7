import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generated } from '#src/ai/pii/__fixtures__/generated.ts';
import { handWritten } from '#src/ai/pii/__fixtures__/labelled.ts';
import { inRequest, maskText } from '#src/ai/pii/mask.ts';
import { DEFAULT_PRIVACY, personalData } from '#src/ai/pii/policy.ts';
import { recognize } from '#src/ai/pii/recognizers/index.ts';
import { MAX_TOKEN_LENGTH, TokenVault } from '#src/ai/pii/tokens.ts';
import { unmask, Unmasker } from '#src/ai/pii/unmask.ts';

const ALL = generated(7).positives.map(({ text }) => text);
const WRITTEN = handWritten().map(({ text }) => text);
const TOKEN = /\[\[[A-Z_]+_[A-Z2-7]{6}\]\]/g;

function masked(text: string, vault: TokenVault): string {
  vault.reserve(text);
  return maskText(text, personalData(text, DEFAULT_PRIVACY), vault);
}

/** Reads a text letter by letter; `lag` is the most that was held back. */
function byLetters(text: string, vault: TokenVault): { out: string; lag: number } {
  const unmasker = new Unmasker(vault);
  let [out, lag] = ['', 0];
  for (let at = 0; at < text.length; at += 1) {
    out += unmasker.push(text.charAt(at));
    lag = Math.max(lag, unmasker.lag);
  }
  return { out: out + unmasker.end(), lag };
}

describe('masking', () => {
  it('gives a value one token, other values others, and other jobs other tokens', () => {
    const vault = new TokenVault();
    const [one, two] = [masked('52998224725 e 52998224725', vault), masked('cpf 52998224725 e 11144477735', vault)];
    const [first, second, third] = [...`${one} ${two}`.matchAll(TOKEN)].map(([token]) => token);
    expect(second).toBe(first);
    expect(third).toBe(first);
    expect(new Set([...`${one}${two}`.matchAll(TOKEN)].map(([token]) => token)).size).toBe(2);
    expect(masked('52998224725', new TokenVault())).not.toBe(first);
    expect(first).toMatch(/^\[\[CPF_[A-Z2-7]{6}\]\]$/);
  });

  it('issues no token that stands in the text already, whatever its case', () => {
    const key = Buffer.alloc(32, 1);
    const token = new TokenVault(key).issue('cpf', '52998224725');
    for (const written of [token, token.toLowerCase(), token.replace('_', ' ')]) {
      const vault = new TokenVault(key);
      const text = `${written} 52998224725`;
      const sent = masked(text, vault);
      expect(sent).not.toContain(`${token} ${token}`);
      expect(sent.startsWith(written)).toBe(true);
      expect(unmask(sent, vault)).toBe(text);
    }
  });

  it('unmask(mask(x)) is x, for generated, hand-written and hostile texts', () => {
    for (const text of [...ALL, ...WRITTEN]) {
      const vault = new TokenVault();
      expect(unmask(masked(text, vault), vault)).toBe(text);
    }
    const piece = fc.constantFrom(
      '[',
      '[[',
      ']]',
      ']',
      ' ',
      '\n',
      '"',
      '\\',
      'CPF_',
      '[[CPF_ABCDEF]]',
      '52998224725',
      '(11) 98765-4321',
      'a@example.com',
      'senha: "a1b2"',
      '\u200b',
      '😀',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const vault = new TokenVault();
        const text = parts.join('');
        expect(unmask(masked(text, vault), vault)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('leaves nothing in the masked text that is found again, and tokens are not taken for data', () => {
    for (const text of [...ALL.slice(0, 1500), ...WRITTEN]) {
      const again = recognize(masked(text, new TokenVault())).filter(({ type }) => type !== 'url');
      expect(again).toEqual([]);
    }
  });

  it('no token is longer than the bound of what is held back', () => {
    const vault = new TokenVault();
    for (const text of [...ALL, ...WRITTEN]) {
      for (const [token] of masked(text, vault).matchAll(TOKEN))
        expect(token.length).toBeLessThanOrEqual(MAX_TOKEN_LENGTH);
    }
  });
});

describe('un-masking a stream', () => {
  it('gives the same text for any way to cut it, and lags by less than one token: 100 000 cuts', () => {
    const vault = new TokenVault();
    const texts = Array.from({ length: 50 }, (_, at) => masked(`${ALL[at * 97]} [nota] ${WRITTEN[at]} [[x]] [`, vault));
    const longest = Math.max(...texts.flatMap((text) => [...text.matchAll(TOKEN)].map(([token]) => token.length)));
    const wanted = new Map(texts.map((text) => [text, unmask(text, vault)]));
    let runs = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
        (text, at) => {
          runs += 1;
          const cuts = at.map((place) => Math.floor(place * text.length)).toSorted((a, b) => a - b);
          const unmasker = new Unmasker(vault);
          let out = '';
          let from = 0;
          for (const cut of [...cuts, text.length]) {
            out += unmasker.push(text.slice(from, cut));
            from = cut;
          }
          if (out + unmasker.end() !== wanted.get(text)) throw new Error(`cut at ${cuts.join(', ')}`);
        },
      ),
      { numRuns: 100_000, seed: 1 },
    );
    expect(runs).toBe(100_000);
    for (const text of texts) {
      const { out, lag } = byLetters(text, vault);
      expect(out).toBe(wanted.get(text));
      expect(lag).toBeLessThan(longest);
    }
  });

  it('two streams that take turns never cross', () => {
    const vaults = [new TokenVault(), new TokenVault()];
    const answers = vaults.map((vault, at) => masked(`cpf ${['52998224725', '11144477735'][at]} ok`, vault));
    const readers = vaults.map((vault) => new Unmasker(vault));
    const out = ['', ''];
    for (let at = 0; at < 60; at += 1)
      for (const one of [0, 1]) out[one] += readers[one]?.push(answers[one]?.charAt(at) ?? '') ?? '';
    expect(out).toEqual(['cpf 52998224725 ok', 'cpf 11144477735 ok']);
    // A token of the other's is text.
    expect(unmask(answers[0] ?? '', vaults[1] ?? new TokenVault())).toBe(answers[0]);
  });

  it('takes a token as models rewrite it, and none that this job did not issue', () => {
    const vault = new TokenVault(Buffer.alloc(32, 2));
    const token = vault.issue('pix_key', 'chave');
    const code = token.slice(-8, -2);
    for (const written of [
      token,
      token.toLowerCase(),
      `[[ PIX_KEY_${code} ]]`,
      `[[PIX KEY ${code}]]`,
      `[[PIX\\_KEY\\_${code}]]`,
      `[PIX_KEY_${code}]`,
    ]) {
      expect(unmask(`a ${written} b`, vault)).toBe('a chave b');
    }
    for (const text of [
      '[[PIX_KEY_AAAAAA]]',
      `[[CPF_${code}]]`,
      `PIX_KEY_${code}`,
      '[[',
      '[texto](http://a.example)',
      `[[PIX_KEY_${code}`,
    ]) {
      expect(unmask(text, vault)).toBe(text);
    }
  });
});

describe('all that is sent of a request', () => {
  const raw = '529.982.247-25';

  it('is masked: history, calls and results of tools, and what schemas say', () => {
    const vault = new TokenVault();
    const request = {
      messages: [
        { role: 'system' as const, content: `cliente ${raw}` },
        {
          role: 'assistant' as const,
          content: raw,
          toolCalls: [
            {
              id: '1',
              name: 'f',
              arguments: `{"cpf": "${raw}", "n": 52998224725, "\\u0063": "\\u0035299822\\u00344725"}`,
            },
          ],
        },
        { role: 'tool' as const, content: `{"a": ["${raw}"], "b": 52998224725}`, toolCallId: '1' },
        { role: 'user' as const, content: `é ${raw}` },
      ],
      tools: [
        {
          name: 'f',
          description: `como ${raw}`,
          parameters: { type: 'object', properties: { cpf: { type: 'string', enum: [raw], description: raw } } },
        },
      ],
      responseSchema: { name: 'x', schema: { type: 'object', properties: { a: { const: raw } } } },
    };
    const sent = JSON.stringify(inRequest(request, (text) => masked(text, vault)));
    expect(sent).not.toContain(raw);
    expect(sent).not.toContain('52998224725');
    expect(sent).not.toContain('\\\\u0035');
    expect(sent.match(TOKEN)).toHaveLength(11);
    expect(sent).toContain('"type":"object"');
  });

  it('stays as it was written where nothing is masked', () => {
    const text = '{ "a":  1.50 }';
    const request = { messages: [{ role: 'tool' as const, content: text, toolCallId: '1' }] };
    expect(inRequest(request, (one) => one)).toEqual(request);
  });
});
