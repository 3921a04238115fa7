import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTemplate, renderTemplate, variablesOf, type TemplateContact } from '#src/modules/templates/template.ts';
import { cpuMs } from '#test/cpu-ms.ts';

const bia: TemplateContact = {
  name: 'Bia de Souza',
  phone: '+5511987654321',
  email: null,
  company: 'Padaria',
  position: null,
  customFields: { plan: 'ouro', visits: 3, active: false, list: ['a'] },
};

describe('a template', () => {
  it('says what is known of a contact, and what stands in for the rest', () => {
    const body =
      'Oi, {{contact.first_name|"amigo"}} {{ contact.last_name | "" }}! {{contact.email|"sem \\"e-mail\\" \\\\"}}, {{custom.plan|"x"}}/{{custom.visits|"0"}}/{{custom.active|"x"}}/{{custom.none|""}} { } {a}';
    expect(renderTemplate({ body }, bia)).toEqual({
      text: 'Oi, Bia Souza! sem "e-mail" \\, ouro/3/false/ { } {a}',
      fallbacks: ['contact.email'],
      unresolved: ['custom.none'],
    });
    const unnamed = { ...bia, name: '+55 11 98765-4321' };
    expect(renderTemplate({ body: 'Oi, {{contact.first_name|"amigo"}}' }, unnamed).text).toBe('Oi, amigo');
    expect(renderTemplate({ body: '{{custom.list|"-"}}{{custom.constructor|"-"}}' }, bia).text).toBe('--');
  });

  it.each([
    ['{{contact.name}}', 'fallback_required', 0],
    ['Oi {{contact.age|"x"}}', 'unknown_variable', 5],
    ['Oi {{constructor|"x"}}', 'unknown_variable', 5],
    ['Oi {{name|"x"}}', 'unknown_variable', 5],
    ['Oi {{custom.other|"x"}}', 'unknown_variable', 5],
    ['{{contact.name|"x"', 'unclosed', 0],
    ['{{contact.name|"x}}', 'syntax', 15],
    ['{{contact.name|x}}', 'syntax', 15],
    ['{{contact.name|"a"|"b"}}', 'syntax', 18],
    ['{{contact.name||"a"}}', 'syntax', 15],
    ['{{ {{contact.name|"a"}} }}', 'syntax', 0],
    ['{{}}', 'syntax', 0],
    ['a }} b', 'unopened', 2],
    ['{{contact.name|"a"}} }}', 'unopened', 21],
    ['{{contact.name|"a\nb"}}', 'syntax', 15],
  ])('refuses %j: %s at %i', (body, code, position) => {
    const parsed = parseTemplate(body, new Set(['plan']));
    expect('fault' in parsed && [parsed.fault.code, parsed.fault.position]).toEqual([code, position]);
  });

  it('tells line and column', () => {
    const parsed = parseTemplate('Oi\ntudo {{bem}}');
    expect('fault' in parsed && parsed.fault).toMatchObject({ line: 2, column: 8 });
  });
});

const VARIABLES = ['contact.name', 'contact.company', 'contact.first_name', 'custom.k'] as const;
const nasty = fc.string({
  unit: fc.constantFrom('{', '}', '{{', '}}', '|', '"', '\\', 'a', 'é', '$&', '$1', ' ', 'contact.name'),
});
const plain = nasty.filter((text) => !text.includes('{') && !text.includes('}'));
const quote = (text: string) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;

describe('whatever is in it', () => {
  it('what was written comes out as it was written, and nothing of a contact is read again', () => {
    const parts = fc.array(fc.oneof(plain, fc.record({ variable: fc.constantFrom(...VARIABLES), fallback: nasty })));
    fc.assert(
      fc.property(parts, nasty, nasty, nasty, (list, name, company, custom) => {
        const contact = { ...bia, name: `N${name}`, company, customFields: { k: custom } };
        const values: Record<string, string> = {
          'contact.name': contact.name.trim(),
          'contact.company': company.trim(),
          'contact.first_name': contact.name.trim().split(/\s+/u)[0] ?? '',
          'custom.k': custom.trim(),
        };
        const body = list.map((one) => (typeof one === 'string' ? one : `{{${one.variable}|${quote(one.fallback)}}}`));
        const text = list.map((one) => (typeof one === 'string' ? one : values[one.variable] || one.fallback));
        const rendered = renderTemplate({ body: body.join('') }, contact);
        expect(rendered.text).toBe(text.join(''));
        const empty = list.flatMap((one) => (typeof one !== 'string' && !values[one.variable] ? [one] : []));
        expect(rendered.unresolved.length + rendered.fallbacks.length > 0).toBe(empty.length > 0);
        const unresolved = empty.filter(({ fallback }) => fallback === '').map(({ variable }) => variable);
        expect(rendered.unresolved).toEqual([...new Set(unresolved)]);
      }),
      { numRuns: 2000 },
    );
  });

  it('any text is a template or has a fault in it, in linear time', () => {
    fc.assert(
      fc.property(nasty, (body) => {
        const parsed = parseTemplate(body);
        if ('segments' in parsed)
          expect(variablesOf(parsed.segments).every((name) => /^(contact|custom)\./.test(name))).toBe(true);
        else expect(parsed.fault.position).toBeLessThanOrEqual(body.length);
      }),
      { numRuns: 5000 },
    );
    for (const body of ['{{'.repeat(50_000), `{{contact.name|"${'\\"'.repeat(50_000)}`, `{{${' '.repeat(100_000)}`]) {
      expect(cpuMs(() => parseTemplate(body))).toBeLessThan(200);
    }
  });
});
