import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import { eachRun, MAX_DIGITS } from '#src/ai/pii/recognizers/digit-runs.ts';
import { DOCUMENTS } from '#src/ai/pii/recognizers/documents.ts';
import { isPhoneLength, phone } from '#src/ai/pii/recognizers/phone.ts';
import type { Found } from '#src/ai/pii/span.ts';

const WANTED = Array.from({ length: MAX_DIGITS + 1 }, (_, count) => isPhoneLength(count) || count in DOCUMENTS);

/** Documents, cards, bank slips, postal codes and phones: all that is made of digits alone. */
export function numbers(subject: Subject): Found[] {
  const all: Found[] = [];
  eachRun(subject.text, WANTED, (run) => {
    for (const read of DOCUMENTS[run.digits.length] ?? []) {
      const one = read(run, subject);
      if (one) all.push(one);
    }
    const one = isPhoneLength(run.digits.length) ? phone(run, subject) : undefined;
    if (one) all.push(one);
  });
  return all;
}
