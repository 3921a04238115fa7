import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Output } from './output.ts';

/** A screen of so many columns, or a pipe, that keeps what was written. */
function open(options: { columns?: number; isJson?: boolean } = {}) {
  let out = '';
  let err = '';
  const { columns, isJson = false } = options;
  const output = new Output({
    stdout: { isTTY: columns !== undefined, ...(columns ? { columns } : {}), write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    isJson,
  });
  return { output, out: () => out, err: () => err };
}

describe('output', () => {
  it('lays tables out on a terminal, and gives a pipe tabs without a head', () => {
    const rows = [
      ['1', 'Ação'],
      ['10', 'b'],
    ];
    const screen = open({ columns: 80 });
    screen.output.table(['#', 'Name'], rows);
    expect(stripVTControlCharacters(screen.out())).toBe('#   Name\n1   Ação\n10  b\n');
    const pipe = open();
    pipe.output.table(['#', 'Name'], rows);
    expect(pipe.out()).toBe('1\tAção\n10\tb\n');
  });

  it('lets nothing that a stranger wrote steer the terminal', () => {
    const screen = open({ columns: 80 });
    screen.output.table(['Name'], [['\u001B[2J\u001B]0;owned\u0007a\nb\tc']]);
    expect(stripVTControlCharacters(screen.out())).toBe('Name\n[2J ]0;owned a b c\n');
    expect(screen.out()).not.toContain('\u001B[2J');
  });

  it('draws over what it drew, and makes room for what is said between', () => {
    const { output, out, err } = open({ columns: 20 });
    output.progress({}, [['one'], ['two']], 'a');
    output.progress({}, [['a line that is longer than the screen']], 'a');
    output.note('said');
    output.progress({}, [['three']], 'a');
    output.settle();
    output.text('end\n');
    expect(out()).toBe('one\ntwo\n\u001B[2A\u001B[Ja line that is lon…\n\u001B[1A\u001B[Jthree\nend\n');
    expect(err()).toBe('said\n');
  });

  it('says elsewhere what changes in kind, and not each step', () => {
    const { output, out, err } = open();
    for (const done of [1, 2, 3]) output.progress({ done }, [[`active ${done}`]], 'active');
    output.progress({}, [['\u001B[32mcompleted\u001B[39m']], 'completed');
    expect(out()).toBe('');
    expect(err()).toBe('active 1\ncompleted\n');
  });

  it('writes JSON and nothing else where JSON is asked for, also on a terminal', () => {
    const { output, out, err } = open({ columns: 80, isJson: true });
    output.progress({ done: 1 }, [['1']], 'a');
    output.table(['Name'], [['x']]);
    output.text('text');
    output.note('said');
    output.json([2]);
    expect(out()).toBe('{"done":1}\n[2]\n');
    expect(err()).toBe('said\n');
  });
});
