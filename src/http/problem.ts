import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, badRequest, notFound, toProblem, unavailable } from '#src/errors.ts';
import { OPENAI_PREFIX, toOpenaiError } from '#src/http/openai-error.ts';
import { SAFE_HEADERS } from '#src/http/browsers.ts';
import { isDatabaseOutage } from '#src/db/outage.ts';
import { isRecord } from '#src/lib/record.ts';

const OUTAGE_RETRY_MS = 2000;
const LINGER_MS = 1000;

/** What the framework refuses by itself, by its error code. Anything else of the framework with a 4xx keeps its status. */
const FRAMEWORK_ERRORS: Record<string, () => AppError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new AppError(413, 'body_too_large', 'The body is larger than this route takes.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new AppError(415, 'unsupported_media_type', 'Send the body as JSON, with Content-Type: application/json.'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    badRequest('invalid_content_length', 'The body is not as long as Content-Length says.'),
  FST_ERR_BAD_URL: () => badRequest('invalid_url', 'The path of the URL is not validly percent-encoded.'),
  FST_ERR_HANDLER_TIMEOUT: () => new AppError(504, 'timed_out', 'The request took too long.'),
};

/** Makes every error of the server a problem (RFC 9457). Call it before any route is registered: it watches them to answer 405. */
export function answerProblems(app: FastifyInstance): void {
  const routes = watchRoutes(app);
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request);
    const allowed = routes.methodsOf(path);
    if (allowed.length === 0) {
      sendProblem(notFound(`The route ${request.method} ${path}`), request, reply);
      return;
    }
    reply.header('allow', allowed.join(', '));
    const detail = `${request.method} is not allowed here; use ${allowed.join(' or ')}.`;
    sendProblem(new AppError(405, 'method_not_allowed', detail), request, reply);
  });
}

/** Answers with the problem of any thrown value, for OpenAI's clients in OpenAI's format; logs those that are our fault, with their cause. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = toAppError(error);
  // Shedding must cost nothing; the metrics count it.
  const isOurFault = known.status >= 500 && known.code !== 'overloaded';
  if (isOurFault) request.log.error({ err: error, code: known.code }, 'request failed');
  if (known.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(known.retryAfterMs / 1000));
  if (known.status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', 'Bearer');
  const path = pathOf(request);
  const isOpenai = path.startsWith(OPENAI_PREFIX);
  const body = JSON.stringify(isOpenai ? toOpenaiError(known) : toProblem(known, path));
  // Serialised here, so that no route's response schema can refuse its own error.
  reply
    .code(known.status)
    .headers(SAFE_HEADERS)
    .header('cache-control', 'no-store')
    .header('x-request-id', request.id)
    .type(isOpenai ? 'application/json' : 'application/problem+json')
    .serializer(String)
    .send(body);
}

/** What a thrown value means to a client: a database that is away is 503, an unknown error 500 that says nothing. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (isDatabaseOutage(error)) {
    return unavailable('database_unavailable', 'The database did not answer. Try again.', OUTAGE_RETRY_MS, error);
  }
  const { code, statusCode } = isRecord(error) ? error : {};
  const mapped = FRAMEWORK_ERRORS[String(code)]?.();
  if (mapped) return mapped;
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new AppError(statusCode, 'bad_request', 'The request could not be read.', { cause: error });
  }
  return new AppError(500, 'internal', 'Something went wrong on our side.', { cause: error });
}

const pathOf = (request: FastifyRequest) => request.url.split('?', 1)[0]?.slice(0, 300) ?? '/';

/** Remembers which methods each path has, because the router only ever answers for one method. */
function watchRoutes(app: FastifyInstance) {
  const methodsByPattern = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    // A route for every path (CORS preflights have one) says nothing about any path.
    if (url === '*' || url === '/*') return;
    const methods = methodsByPattern.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    methodsByPattern.set(url, methods);
  });
  let compiled: { pattern: RegExp; methods: Set<string> }[] | undefined;
  return {
    methodsOf(path: string): string[] {
      compiled ??= [...methodsByPattern].map(([url, methods]) => ({ pattern: toPattern(url), methods }));
      const found = compiled.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods]);
      return [...new Set(found)].toSorted();
    },
  };
}

function toPattern(url: string): RegExp {
  const parts = url.split('/').map((part) => {
    if (part.startsWith(':')) return '[^/]+';
    return part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*');
  });
  return new RegExp(`^${parts.join('/')}$`);
}

const SOCKET_PROBLEMS: Record<string, AppError> = {
  HPE_HEADER_OVERFLOW: new AppError(431, 'headers_too_large', 'The headers are too large.'),
  ERR_HTTP_REQUEST_TIMEOUT: new AppError(408, 'request_timeout', 'The request did not arrive in time.'),
};

/** Answers what is not HTTP at all, where there is no request yet; writes to the bare socket. */
export function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  answerOnSocket(
    SOCKET_PROBLEMS[error.code ?? ''] ?? badRequest('invalid_http', 'The request is not valid HTTP.'),
    socket,
  );
}

/** Answers with a problem where there is no reply, and ends the connection. */
export function answerOnSocket(error: AppError, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy();
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    ...Object.entries(SAFE_HEADERS).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  // Whoever never closes their side would keep the connection for ever; destroying it at once could lose the answer on its way.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
