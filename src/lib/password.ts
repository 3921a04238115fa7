import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { createLimit } from '#src/lib/limit.ts';

/** The OWASP and ASVS floor for argon2id: 19 MiB, two passes, one lane. */
const MEMORY_KIB = 19_456;
const PASSES = 2;
const LANES = 1;
const SALT_BYTES = 16;
const KEY_BYTES = 32;

const derive = promisify(argon2);

export interface PasswordCheck {
  ok: boolean;
  /** The stored hash was made with older parameters: store a new one. Only ever true with `ok`. */
  outdated: boolean;
}

export interface Passwords {
  /** A PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$key`). */
  hash(password: string): Promise<string>;
  /** Compares in constant time; a stored text that is no argon2id PHC string matches nothing. */
  verify(stored: string, password: string): Promise<PasswordCheck>;
  /** Takes as long as `verify` and always fails: for an account that does not exist, so that time tells nothing. */
  verifyDecoy(password: string): Promise<PasswordCheck>;
}

/**
 * Password hashing that a flood of logins cannot turn into a denial of service: each hash takes 19 MiB and a thread of the pool
 * that file and DNS work share, so only `concurrency` run at once and only `maxWaiting` wait.
 * All methods reject with QueueFullError when too many wait.
 */
export function createPasswords(concurrency = 2, maxWaiting = 500): Passwords {
  const limit = createLimit(concurrency, maxWaiting);
  const decoy = encode(
    { memory: MEMORY_KIB, passes: PASSES, lanes: LANES },
    randomBytes(SALT_BYTES),
    randomBytes(KEY_BYTES),
  );

  const verify = async (stored: string, password: string): Promise<PasswordCheck> => {
    const parts = decode(stored);
    if (!parts) return { ok: false, outdated: false };
    const key = await limit(() => run(password, parts.salt, parts.key.length, parts.cost));
    const ok = timingSafeEqual(key, parts.key);
    const { memory, passes, lanes } = parts.cost;
    const outdated = memory !== MEMORY_KIB || passes !== PASSES || lanes !== LANES || parts.key.length !== KEY_BYTES;
    return { ok, outdated: ok && outdated };
  };

  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES);
      const cost = { memory: MEMORY_KIB, passes: PASSES, lanes: LANES };
      return encode(cost, salt, await limit(() => run(password, salt, KEY_BYTES, cost)));
    },
    verify,
    async verifyDecoy(password) {
      await verify(decoy, password);
      return { ok: false, outdated: false };
    },
  };
}

interface Cost {
  memory: number;
  passes: number;
  lanes: number;
}

function run(password: string, salt: Buffer, lengthBytes: number, cost: Cost): Promise<Buffer> {
  return derive('argon2id', {
    // One spelling for what looks the same: keyboards differ in how they compose an accent.
    message: password.normalize('NFC'),
    nonce: salt,
    tagLength: lengthBytes,
    memory: cost.memory,
    passes: cost.passes,
    parallelism: cost.lanes,
  });
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');

function encode(cost: Cost, salt: Buffer, key: Buffer): string {
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.lanes}$${unpadded(salt)}$${unpadded(key)}`;
}

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/;

function decode(stored: string): { cost: Cost; salt: Buffer; key: Buffer } | undefined {
  const [, memory, passes, lanes, salt, key] = PHC.exec(stored) ?? [];
  if (!salt || !key) return undefined;
  return {
    cost: { memory: Number(memory), passes: Number(passes), lanes: Number(lanes) },
    salt: Buffer.from(salt, 'base64'),
    key: Buffer.from(key, 'base64'),
  };
}
