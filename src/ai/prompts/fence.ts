import { createHash } from 'node:crypto';

/**
 * Marks customer text as material, not instruction. The mark is a hash of the text, counted on until the text does not contain it, so nobody
 * can write the closing mark into a message; the same input always gives the same prompt.
 */
export function fence(text: string): { mark: string; fenced: string } {
  for (let count = 0; ; count += 1) {
    const mark = createHash('sha256').update(`${count}\n${text}`).digest('hex').slice(0, 12);
    if (!text.includes(mark)) return { mark, fenced: `<<<${mark}\n${text}\n${mark}>>>` };
  }
}
