import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { accountPath, findAccount, isInClear, readUrl, storeAccount } from './account.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'wh-account-'));
});
afterEach(() => rm(home, { recursive: true }));

const env = (more: Record<string, string> = {}) => ({ XDG_CONFIG_HOME: home, ...more });
const find = (more: Record<string, string> = {}, url?: string, warn: (text: string) => void = () => {}) =>
  findAccount(env(more), url, warn);
const account = { url: 'https://a.example', apiKey: 'wh_live_stored' };

describe('the account of a command', () => {
  it('is the environment before what is stored', async () => {
    await storeAccount(env(), account);
    expect(await find()).toEqual(account);
    const key = { WHATSHYBRID_API_KEY: 'wh_live_given' };
    expect(await find(key)).toEqual({ url: 'https://a.example', apiKey: 'wh_live_given' });
    expect(await find({ ...key, WHATSHYBRID_URL: 'https://b.example/' })).toMatchObject({ url: 'https://b.example' });
    expect(await find({ ...key, WHATSHYBRID_URL: 'https://b.example' }, 'https://c.example')).toMatchObject({
      url: 'https://c.example',
    });
    expect(await find({}, 'https://a.example/')).toEqual(account);
    await expect(find({}, 'https://b.example')).rejects.toMatchObject({ exitCode: 3, code: 'other_address' });
    await expect(find({ WHATSHYBRID_URL: 'https://b.example' })).rejects.toMatchObject({ exitCode: 3 });
  });

  it('is missed in a way that says what to do', async () => {
    await expect(find()).rejects.toMatchObject({ exitCode: 3, code: 'signed_out' });
    await expect(find({ WHATSHYBRID_API_KEY: 'k' })).rejects.toMatchObject({ exitCode: 2 });
    await expect(find({}, 'ftp://a.example')).rejects.toMatchObject({ exitCode: 2 });
  });

  it('is stored whole, replaced whole, and warned of where others can read it', async () => {
    const path = await storeAccount(env(), { ...account, apiKey: 'wh_live_before' });
    expect(path).toBe(accountPath(env()));
    await storeAccount(env(), account);
    expect(await readdir(dirname(path))).toEqual(['account.json']);
    const warned: string[] = [];
    await find({}, undefined, (text) => warned.push(text));
    expect(warned).toEqual([]);
    await chmod(path, 0o644);
    expect(await find({}, undefined, (text) => warned.push(text))).toEqual(account);
    expect(warned).toHaveLength(1);
  });
});

describe('an address', () => {
  it('is known without a slash at its end, and never with a password', () => {
    expect(readUrl('https://a.example:8443/base//')).toBe('https://a.example:8443/base');
    for (const text of ['a.example', 'file:///etc', 'https://ana:secret@a.example'])
      expect(() => readUrl(text)).toThrow('must look like');
  });

  it('is in clear when it leaves the machine without TLS', () => {
    const urls = [
      'http://a.example',
      'http://127.0.0.1.a.example',
      'https://a.example',
      'http://127.0.0.1:3000',
      'http://[::1]:3000',
    ];
    expect(urls.map(isInClear)).toEqual([true, true, false, false, false]);
  });
});
