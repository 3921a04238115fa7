import cors from '@fastify/cors';
import websocket from '@fastify/websocket';
import Fastify, { LogController } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { FastifyBaseLogger } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { guardRoutes } from '#src/http/auth.ts';
import { corsOptions } from '#src/http/browsers.ts';
import { heedIdempotencyKeys } from '#src/http/idempotency.ts';
import { readOnlyJson } from '#src/http/json.ts';
import { documentRoutes } from '#src/http/openapi.ts';
import { shedLoad } from '#src/http/overload.ts';
import { answerBrokenHttp, answerProblems, sendProblem } from '#src/http/problem.ts';
import { nameAndLogRequests, requestId } from '#src/http/requests.ts';
import { refuseUnknownQueries, validateWithZod } from '#src/http/validation.ts';
import { aiRoutes } from '#src/modules/ai/ai.routes.ts';
import { batchRoutes } from '#src/modules/ai/batch.routes.ts';
import { routingRoutes } from '#src/modules/ai/routing.routes.ts';
import { usageRoutes } from '#src/modules/ai/usage.routes.ts';
import { billingRoutes } from '#src/modules/billing/billing.routes.ts';
import { licenseRoutes } from '#src/modules/billing/licenses.routes.ts';
import { analyticsRoutes } from '#src/modules/analytics/analytics.routes.ts';
import { exportRoutes } from '#src/modules/analytics/exports.routes.ts';
import { apiKeyRoutes } from '#src/modules/api-keys/api-keys.routes.ts';
import { auditRoutes } from '#src/modules/audit/audit.routes.ts';
import { accountRoutes } from '#src/modules/auth/account.routes.ts';
import { authRoutes } from '#src/modules/auth/auth.routes.ts';
import { linkPages } from '#src/modules/auth/link-pages.routes.ts';
import { sessionRoutes } from '#src/modules/auth/sessions.routes.ts';
import { scoreRoutes } from '#src/modules/contact-ai/score.routes.ts';
import { contactBulkRoutes } from '#src/modules/contacts/bulk.routes.ts';
import { duplicateRoutes } from '#src/modules/contacts/duplicates.routes.ts';
import { contactDetailRoutes } from '#src/modules/contacts/contact-details.routes.ts';
import { contactFieldRoutes } from '#src/modules/contacts/contact-fields.routes.ts';
import { contactRoutes } from '#src/modules/contacts/contacts.routes.ts';
import { campaignRoutes } from '#src/modules/campaigns/campaigns.routes.ts';
import { deliveryRoutes } from '#src/modules/campaigns/delivery.routes.ts';
import { cloudHookRoutes } from '#src/modules/cloud-api/hooks.routes.ts';
import { channelRoutes } from '#src/modules/channels/channels.routes.ts';
import { labelRoutes } from '#src/modules/contacts/labels.routes.ts';
import { mergeRoutes } from '#src/modules/contacts/merge.routes.ts';
import { operationRoutes } from '#src/modules/bulk/operations.routes.ts';
import { activityRoutes } from '#src/modules/activities/activities.routes.ts';
import { forecastRoutes } from '#src/modules/deals/forecast.routes.ts';
import { boardRoutes } from '#src/modules/pipelines/board.routes.ts';
import { dealRoutes } from '#src/modules/deals/deals.routes.ts';
import { importRoutes } from '#src/modules/imports/imports.routes.ts';
import { jobRoutes } from '#src/modules/jobs/jobs.routes.ts';
import { isSocketRequest, liveRoutes, SOCKET_OPTIONS } from '#src/modules/live/live.routes.ts';
import { conversationRoutes } from '#src/modules/messages/conversations.routes.ts';
import { messageRoutes } from '#src/modules/messages/messages.routes.ts';
import { openaiDoor } from '#src/modules/openai-door/door.routes.ts';
import { notificationRoutes } from '#src/modules/notifications/notifications.routes.ts';
import { contactExportRoutes } from '#src/modules/exports/exports.routes.ts';
import { healthRoutes } from '#src/modules/ops/health.routes.ts';
import { opsRoutes } from '#src/modules/ops/ops.routes.ts';
import { pipelineRoutes } from '#src/modules/pipelines/pipelines.routes.ts';
import { stageRoutes } from '#src/modules/pipelines/stages.routes.ts';
import { promptRoutes } from '#src/modules/prompts/prompts.routes.ts';
import { consentRoutes } from '#src/modules/privacy/consent.routes.ts';
import { maskRoutes } from '#src/modules/privacy/mask.routes.ts';
import { paymentHookRoutes } from '#src/modules/payments/hooks.routes.ts';
import { paymentRoutes } from '#src/modules/payments/payments.routes.ts';
import { privacyRoutes } from '#src/modules/privacy/requests.routes.ts';
import { suppressionRoutes } from '#src/modules/privacy/suppressions.routes.ts';
import { reminderRoutes } from '#src/modules/reminders/reminders.routes.ts';
import { segmentRoutes } from '#src/modules/segments/segments.routes.ts';
import { settingsRoutes } from '#src/modules/settings/settings.routes.ts';
import { taskRoutes } from '#src/modules/tasks/tasks.routes.ts';
import { templateRoutes } from '#src/modules/templates/templates.routes.ts';
import { webhookRoutes } from '#src/modules/webhooks/webhooks.routes.ts';
import { memberRoutes } from '#src/modules/workspaces/members.routes.ts';
import { workspaceRoutes } from '#src/modules/workspaces/workspaces.routes.ts';

const BODY_LIMIT_BYTES = 1_048_576;
/** Longer than proxies keep a silent connection, so that it is never the server that closes under a request. */
const KEEP_ALIVE_MS = 75_000;
const CLOSING_SWEEP_MS = 50;
const START_PATIENCE_MS = 120_000;

/** The table of contents of the HTTP server: every plugin and module, one line each, in the order they load. Not listening yet. */
export async function buildApp(rt: Runtime): Promise<App> {
  const loggerInstance: FastifyBaseLogger = rt.log;
  const app: App = Fastify({
    loggerInstance,
    // One line per answer is logged by `nameAndLogRequests`; the framework's own lines carry the URL, whose query can hold secrets.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    requestIdHeader: false,
    genReqId: requestId,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: rt.config.REQUEST_TIMEOUT_MS,
    http: { ...arrivalTimeouts(rt.config.REQUEST_TIMEOUT_MS), shouldUpgradeCallback: isSocketRequest },
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionTimeout: 0,
    // On a machine that is short of time a start takes longer than the 10 s that the framework gives it.
    pluginTimeout: START_PATIENCE_MS,
    forceCloseConnections: 'idle',
    // While closing, what still comes in on open connections is answered, not turned away.
    return503OnClosing: false,
    trustProxy: (_address, hop) => hop < rt.config.TRUST_PROXY,
    frameworkErrors: sendProblem,
    clientErrorHandler: answerBrokenHttp,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validateWithZod);
  app.setSerializerCompiler(serializerCompiler);

  answerProblems(app);
  nameAndLogRequests(app, rt.metrics);
  readOnlyJson(app);
  refuseUnknownQueries(app);
  guardRoutes(app, rt);
  heedIdempotencyKeys(app, rt);
  await app.register(cors, corsOptions(rt.config.ALLOWED_ORIGINS));
  await shedLoad(app, rt.config, rt.metrics);
  await app.register(websocket, SOCKET_OPTIONS);
  await documentRoutes(app);

  // Node by itself answers with a bare 417.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response));
  app.addHook('preClose', async () => {
    rt.beginClosing();
    // What is answered while the server closes leaves its connection open and idle, and the close would wait for it to time out.
    const sweep = setInterval(() => app.server.closeIdleConnections(), CLOSING_SWEEP_MS).unref();
    app.server.once('close', () => clearInterval(sweep));
  });

  await app.register(authRoutes(rt));
  await app.register(sessionRoutes(rt));
  await app.register(accountRoutes(rt));
  await app.register(linkPages);
  await app.register(workspaceRoutes(rt));
  await app.register(memberRoutes(rt));
  await app.register(apiKeyRoutes(rt));
  await app.register(contactRoutes(rt));
  await app.register(contactDetailRoutes(rt));
  await app.register(contactFieldRoutes(rt));
  await app.register(labelRoutes(rt));
  await app.register(messageRoutes(rt));
  await app.register(conversationRoutes(rt));
  await app.register(templateRoutes(rt));
  await app.register(scoreRoutes(rt));
  await app.register(taskRoutes(rt));
  await app.register(consentRoutes(rt));
  await app.register(suppressionRoutes(rt));
  await app.register(privacyRoutes(rt));
  await app.register(pipelineRoutes(rt));
  await app.register(stageRoutes(rt));
  await app.register(boardRoutes(rt));
  await app.register(dealRoutes(rt));
  await app.register(forecastRoutes(rt));
  await app.register(activityRoutes(rt));
  await app.register(duplicateRoutes(rt));
  await app.register(mergeRoutes(rt));
  await app.register(contactBulkRoutes(rt));
  await app.register(segmentRoutes(rt));
  await app.register(aiRoutes(rt));
  await app.register(batchRoutes(rt));
  await app.register(promptRoutes(rt));
  await app.register(maskRoutes(rt));
  await app.register(routingRoutes(rt));
  await app.register(usageRoutes(rt));
  await app.register(billingRoutes(rt));
  await app.register(paymentRoutes(rt));
  await app.register(paymentHookRoutes(rt));
  await app.register(licenseRoutes(rt));
  await app.register(analyticsRoutes(rt));
  await app.register(exportRoutes(rt));
  await app.register(jobRoutes(rt));
  await app.register(openaiDoor(rt));
  await app.register(liveRoutes(rt));
  await app.register(auditRoutes(rt));
  await app.register(settingsRoutes(rt));
  await app.register(notificationRoutes(rt));
  await app.register(reminderRoutes(rt));
  await app.register(operationRoutes(rt));
  await app.register(channelRoutes(rt));
  await app.register(campaignRoutes(rt));
  await app.register(deliveryRoutes(rt));
  await app.register(cloudHookRoutes(rt));
  await app.register(importRoutes(rt));
  await app.register(contactExportRoutes(rt));
  await app.register(webhookRoutes(rt));
  await app.register(healthRoutes(rt));
  await app.register(opsRoutes(rt));
  return app;
}

/** When a request that trickles in is cut: Node looks only every 30 s unless told otherwise. */
const arrivalTimeouts = (requestTimeout: number) => ({
  requestTimeout,
  headersTimeout: Math.ceil(requestTimeout / 3),
  connectionsCheckingInterval: Math.ceil(Math.min(requestTimeout / 6, 5000)),
});
