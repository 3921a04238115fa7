import fc from 'fast-check';

const SURROGATES_AT = 0xd800;
const SURROGATES = 0x800;

/**
 * Any character, for the `unit` of fast-check's strings: the same ones, in the same order, as its own 'binary', which makes a list of all
 * million of them first and looks for each in it.
 */
export const anyChar = fc.integer({ min: 0, max: 0x10_ff_ff - SURROGATES }).map(
  (at) => String.fromCodePoint(at < SURROGATES_AT ? at : at + SURROGATES),
  (char) => {
    const code = typeof char === 'string' ? char.codePointAt(0) : undefined;
    if (code === undefined || char !== String.fromCodePoint(code)) throw new Error('Not one character');
    return code < SURROGATES_AT ? code : code - SURROGATES;
  },
);
