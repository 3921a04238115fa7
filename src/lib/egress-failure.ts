import { EgressRefused } from '#src/lib/egress-rules.ts';
import { isRecord } from '#src/lib/record.ts';

/** `aborted`: by the caller's signal, or because the guard was closed. */
export type EgressFailureKind = 'dns' | 'connect' | 'tls' | 'timeout' | 'reset' | 'protocol' | 'aborted';

const MESSAGES: Record<EgressFailureKind, string> = {
  dns: 'The name could not be resolved',
  connect: 'The connection could not be made',
  tls: 'The connection could not be secured',
  timeout: 'There was no answer in time',
  reset: 'The connection was closed before the answer was whole',
  protocol: 'The answer was not valid HTTP',
  aborted: 'The request was given up',
};

/** A request that was allowed and got no answer. `message` may be shown to the one who set the URL. */
export class EgressFailed extends Error {
  readonly kind: EgressFailureKind;
  /** Whether the other side may have seen some of the request. */
  readonly sentAnything: boolean;

  constructor(kind: EgressFailureKind, sentAnything: boolean, cause?: unknown) {
    const code = codeOf(cause);
    super(code === '' ? `${MESSAGES[kind]}.` : `${MESSAGES[kind]} (${code}).`, { cause });
    this.name = 'EgressFailed';
    this.kind = kind;
    this.sentAnything = sentAnything;
  }
}

/** The code Node or undici gave an error, or ''. */
export const codeOf = (error: unknown): string =>
  isRecord(error) && typeof error['code'] === 'string' ? error['code'] : '';

const KINDS: [codes: RegExp, kind: EgressFailureKind][] = [
  [/^(?:HPE_.*|HTTPParserError|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/, 'protocol'],
  [/^ERR_(?:SSL|TLS)_/, 'tls'],
  [/^(?:UND_ERR_CLOSED|UND_ERR_DESTROYED)$/, 'aborted'],
];

/** What undici's error of a request means to the caller. The connector's own errors are passed through as they are. */
export function toFailure(error: Error, sentAnything: boolean): EgressFailed | EgressRefused {
  if (error instanceof EgressRefused || error instanceof EgressFailed) return error;
  // The parser's error has a code for only some of what it meets.
  const code = codeOf(error) || error.name;
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return new EgressRefused('header');
  const kind = KINDS.find(([codes]) => codes.test(code))?.[1] ?? (sentAnything ? 'reset' : 'connect');
  return new EgressFailed(kind, sentAnything, error);
}
