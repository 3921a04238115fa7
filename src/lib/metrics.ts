import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  Registry,
  collectDefaultMetrics,
  type MetricObject,
} from 'prom-client';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** What one process measures; names follow Prometheus' conventions (base units, `_total`). */
export function createMetrics(processName: string) {
  const registry = new Registry();
  registry.setDefaultLabels({ process: processName });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    httpSeconds: new Histogram({
      name: 'wh_http_request_seconds',
      help: 'Time to answer an HTTP request',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: SECONDS,
      registers,
    }),
    jobWaitSeconds: new Histogram({
      name: 'wh_job_wait_seconds',
      help: 'From acceptance, or the planned retry, to the start of an attempt',
      labelNames: ['queue'] as const,
      buckets: SECONDS,
      registers,
    }),
    jobRunSeconds: new Histogram({
      name: 'wh_job_run_seconds',
      help: 'Duration of an attempt',
      labelNames: ['queue', 'outcome'] as const,
      buckets: SECONDS,
      registers,
    }),
    firstTokenSeconds: new Histogram({
      name: 'wh_time_to_first_token_seconds',
      help: 'From the start of an attempt to the first text shown',
      labelNames: ['queue', 'provider'] as const,
      buckets: SECONDS,
      registers,
    }),
    refusals: new Counter({
      name: 'wh_refused_total',
      help: 'Writes of an attempt that had lost its lease, refused by the database (finish, renew) or the stream',
      labelNames: ['kind'] as const,
      registers,
    }),
    relayed: new Counter({
      name: 'wh_relayed_jobs_total',
      help: 'Jobs put into Redis by the relay, by cause',
      labelNames: ['cause'] as const,
      registers,
    }),
    brokenBooks: new Gauge({
      name: 'wh_credit_books_broken',
      help: 'Workspaces whose credits do not add up, by what does not hold; 0 is the only good value',
      labelNames: ['invariant'] as const,
      registers,
    }),
    shed: new Counter({
      name: 'wh_http_shed_total',
      help: 'Requests answered 503 because the process was beyond a limit',
      labelNames: ['reason'] as const,
      registers,
    }),
    routerDecisionSeconds: new Histogram({
      name: 'wh_router_decision_seconds',
      help: 'To choose the targets of a job, with the look at the shared health',
      buckets: [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1],
      registers,
    }),
    breakerState: new Gauge({
      name: 'wh_breaker_state',
      help: 'Breaker of a model: 0 closed, 1 ramping, 2 half open, 3 open',
      labelNames: ['provider', 'model'] as const,
      // Processes see one state, some a moment later.
      aggregator: 'max',
      registers,
    }),
    failovers: new Counter({
      name: 'wh_failover_total',
      help: 'Targets that failed a job, by the class of the failure',
      labelNames: ['class'] as const,
      registers,
    }),
    eventsHandled: new Counter({
      name: 'wh_events_handled_total',
      help: 'Domain events handed to a consumer',
      labelNames: ['consumer'] as const,
      registers,
    }),
    eventLag: new Gauge({
      name: 'wh_event_lag',
      help: 'Domain events a consumer has not handled yet',
      labelNames: ['consumer'] as const,
      registers,
    }),
    eventLagSeconds: new Gauge({
      name: 'wh_event_lag_seconds',
      help: 'Age of the oldest domain event a consumer has not handled yet',
      labelNames: ['consumer'] as const,
      registers,
    }),
    eventsAside: new Gauge({
      name: 'wh_events_set_aside',
      help: 'Domain events a consumer failed at, which are tried again apart from the others',
      labelNames: ['consumer'] as const,
      registers,
    }),
    partitionsAhead: new Gauge({
      name: 'wh_partitions_ahead',
      help: 'Months in a row for which a table has its partition already',
      labelNames: ['table'] as const,
      // Every control process looks at the same tables.
      aggregator: 'min',
      registers,
    }),
    analyticsLagSeconds: new Gauge({
      name: 'wh_analytics_lag_seconds',
      help: 'Age of the oldest fact that is in no figure yet',
      aggregator: 'max',
      registers,
    }),
    deliveries: new Counter({
      name: 'wh_webhook_attempts_total',
      help: 'Attempts to deliver an event to a webhook, by what came of them',
      labelNames: ['outcome'] as const,
      registers,
    }),
    eventReads: new Counter({
      name: 'wh_event_reads_total',
      help: 'Queries for domain events that clients follow',
      registers,
    }),
    sockets: new Gauge({ name: 'wh_sockets', help: 'Open WebSockets', registers }),
    watchers: new Gauge({ name: 'wh_stream_watchers', help: 'Clients following a job', registers }),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Prometheus text of several processes' metrics as one exposition. */
export async function mergeMetrics(parts: MetricObject[][]): Promise<string> {
  return AggregatorRegistry.aggregate(parts).metrics();
}
