import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import {
  AiQuery,
  AiView,
  DashboardView,
  MessagesView,
  DealsQuery,
  DealsView,
  PeriodQuery,
  TeamView,
  TimeseriesQuery,
  TimeseriesView,
} from '#src/modules/analytics/analytics.schemas.ts';
import {
  readAi,
  readDashboard,
  readMessages,
  readTeam,
  readTimeseries,
} from '#src/modules/analytics/analytics.service.ts';
import { readDealFigures } from '#src/modules/analytics/deals.service.ts';
import { CampaignFiguresView, readCampaignFigures } from '#src/modules/analytics/campaigns.ts';
import { ContactFiguresView, readContactFigures } from '#src/modules/analytics/contacts.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['analytics'], security: [{ bearer: [] }] };
const config = { access: 'analytics:read' as const };

/** `/api/analytics`: figures by hour and day, some seconds old at most; `asOf` says how new they are. */
export function analyticsRoutes(rt: Pick<Runtime, 'pool'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/analytics/dashboard', {
      config,
      schema: {
        ...schema,
        summary: 'Today, 7 and 30 days, each beside as many days before',
        response: { 200: DashboardView },
      },
      handler: (request) => readDashboard(rt, authOf(request)),
    });

    app.get('/api/analytics/timeseries', {
      config,
      schema: {
        ...schema,
        summary: 'One metric by hour or by day of the workspace’s clock, without gaps',
        querystring: TimeseriesQuery,
        response: { 200: TimeseriesView },
      },
      handler: (request) => readTimeseries(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/ai', {
      config,
      schema: {
        ...schema,
        summary: 'Calls of providers by engine, provider or model: failures, tokens, cost and latency',
        querystring: AiQuery,
        response: { 200: AiView },
      },
      handler: (request) => readAi(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/messages', {
      config,
      schema: {
        ...schema,
        summary: 'Messages written and answered: in all, by who looks after the contacts, and by day',
        querystring: PeriodQuery,
        response: { 200: MessagesView },
      },
      handler: (request) => readMessages(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/deals', {
      config,
      schema: {
        ...schema,
        summary: 'Deals made, won and lost, and what they are worth, by currency and day, pipeline or owner',
        querystring: DealsQuery,
        response: { 200: DealsView },
      },
      handler: (request) => readDealFigures(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/contacts', {
      config,
      schema: {
        ...schema,
        summary: 'New contacts, by where they came from and by day',
        querystring: PeriodQuery,
        response: { 200: ContactFiguresView },
      },
      handler: (request) => readContactFigures(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/campaigns', {
      config,
      schema: {
        ...schema,
        summary: 'What came of the campaigns that began in a period: in all, by channel, and of each',
        querystring: PeriodQuery,
        response: { 200: CampaignFiguresView },
      },
      handler: (request) => readCampaignFigures(rt, authOf(request), request.query),
    });

    app.get('/api/analytics/team', {
      config,
      schema: {
        ...schema,
        summary: 'What each member had done; those of others only for who may see them',
        querystring: PeriodQuery,
        response: { 200: TeamView },
      },
      handler: (request) => readTeam(rt, authOf(request), request.query),
    });
  };
}
