import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { SwaggerTransformObject } from '@fastify/swagger';
import type { App } from '#src/http/app-type.ts';
import { protectPages } from '#src/http/browsers.ts';
import { OPENAI_PREFIX } from '#src/http/openai-error.ts';
// Loaded for its name: every operation refers to the component `Problem`.
import '#src/http/problem-view.ts';

const INTRODUCTION = `Every error is an RFC 9457 problem. Every answer carries \`X-Request-Id\`.
A POST heeds \`Idempotency-Key\`: sent again with it, it is done once and answered alike.
A signed-in request works in the caller's default workspace, or in the one that \`X-Workspace-Id\` names.`;

const PROBLEM = {
  description: 'What went wrong (RFC 9457)',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

const OPENAI_ERROR = {
  description: "What went wrong, in OpenAI's format",
  content: { 'application/json': { schema: { $ref: '#/components/schemas/OpenaiError' } } },
};

/** Documents every route registered after it: the document at `/api/openapi.json`, for people at `/docs`. */
export async function documentRoutes(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'WhatsHybrid', version: '1', description: INTRODUCTION },
      components: {
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: withProblems,
  });
  await app.register(async (pages) => {
    await protectPages(pages);
    await pages.register(swaggerUi, { routePrefix: '/docs' });
  });
  app.get('/api/openapi.json', { config: { access: 'public' }, schema: { hide: true } }, async () => app.swagger());
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** Says of every operation what its errors look like, so that no route has to. */
const withProblems: SwaggerTransformObject = (document) => {
  const spec = jsonSchemaTransformObject(document);
  for (const [path, operations] of Object.entries(spec.paths ?? {})) {
    for (const method of METHODS) {
      const responses = operations?.[method]?.responses;
      if (responses) responses['default'] ??= path.startsWith(OPENAI_PREFIX) ? OPENAI_ERROR : PROBLEM;
    }
  }
  return spec;
};
